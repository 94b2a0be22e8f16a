import BridgeSupport
import CPluginABI
import CSystem
import Glibc
public import NativeKernels

/// A plugin that has been loaded.
public struct LoadedPlugin: Sendable {
    /// The library.
    public let path: String
    /// The plugin's name.
    public let name: String
    /// The plugin's version.
    public let version: String
    /// The core that it was compiled against.
    public let coreBuild: String
    /// The compiler that it was compiled with.
    public let compiler: String
    /// Its plugin.
    public let plugin: any ModelPlugin
    /// Its kernels.
    public let kernels: [NativeKernel]
}

/// What a library with kernels only has for families: none.
struct KernelPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [] }
}

/// Loads shared libraries, and reports why one cannot be used.
public enum PluginLoader {
    /// The supported version of the descriptor.
    public static var abiVersion: Int { Int(bridge_plugin_abi_version()) }
    /// The core that is running.
    public static var coreBuild: String { String(cString: bridge_core_build()) }
    /// The compiler that the core was compiled with.
    public static var compiler: String { String(cString: bridge_compiler()) }
    /// The version of Bridge.
    public static var version: String { String(cString: bridge_core_version()) }

    /// Loads a plugin.
    ///
    /// The descriptor, plain C, is compared with the core before any Swift value of the plugin is touched.
    ///
    /// - Parameters:
    ///   - path: The library.
    ///   - triesFirst: Whether a library outside of the directory of the core is loaded in a child process first: the code that
    ///     a library runs when it is loaded can end the process. Only for a process whose other threads hold no locks.
    ///   - limit: The longest that loading in the child process may take.
    /// - Returns: The plugin.
    /// - Throws: `BridgeError` with code `badPlugin`.
    public static func load(
        _ path: String,
        triesFirst: Bool = false,
        atMost limit: Duration = loadingLimit
    ) throws -> LoadedPlugin {
        let found = try TrustedFile(path)
        try checkLibrary(path, TrustedFile.path(of: found.file))
        // Through the directory that was checked. It stays open as long as the process lives: the loader knows the library
        // by this name, and would take another one of the name for it.
        let directory = dup(found.directory)
        guard directory >= 0 else { throw BridgeError.cannotOpen(path, code: .badPlugin) }
        var isLoaded = false
        defer { if !isLoaded { close(directory) } }
        let checked = Files.join(TrustedFile.path(of: directory), found.name)
        if triesFirst, !PluginCatalog.standardDirectories.contains(where: { Files.areOne($0, location(of: path)) }) {
            try tryInChild(checked, path, limit)
        }
        guard let handle = dlopen(checked, RTLD_NOW | RTLD_LOCAL) else {
            let message = dlerror().map { String(cString: $0) } ?? "no reason given"
            let reason = message.hasPrefix(checked) ? path + message.dropFirst(checked.count) : message
            if reason.contains("undefined symbol") {
                throw bad(
                    "\(path) was built against another Bridge than this \(coreBuild); rebuild the plugin (\(reason))"
                )
            }
            throw bad("\(path) cannot be loaded: \(reason)")
        }
        isLoaded = true
        let make = dlsym(handle, "bridge_plugin_make")
        let hasKernels = dlsym(handle, "bridge_plugin_kernels") != nil
        guard let abi = dlsym(handle, "bridge_plugin_abi"), make != nil || hasKernels else {
            let missing = dlsym(handle, "bridge_plugin_abi") == nil ? "bridge_plugin_abi" : "bridge_plugin_make"
            dlclose(handle)
            throw bad(
                "\(path) does not export \(missing), so it is not a Bridge plugin; see the article "
                    + (hasKernels ? "PluginABI, which has a library with kernels in C" : "AddAModel")
            )
        }
        guard let descriptor = unsafeBitCast(abi, to: bridge_plugin_abi_function.self)() else {
            throw bad("\(path) has no descriptor: bridge_plugin_abi returned nothing")
        }
        try check(descriptor.pointee, path, hasSwift: make != nil)
        let kernels = try KernelTable.kernels(of: handle, path)
        var plugin: any ModelPlugin = KernelPlugin()
        if let make {
            guard let box = unsafeBitCast(make, to: bridge_plugin_make_function.self)() else {
                throw bad("\(path) has no plugin: bridge_plugin_make returned nothing")
            }
            plugin = PluginBox.take(box)
        }
        return LoadedPlugin(
            path: path,
            name: text(descriptor.pointee.name),
            version: text(descriptor.pointee.version),
            coreBuild: text(descriptor.pointee.core_build),
            compiler: text(descriptor.pointee.compiler),
            plugin: plugin,
            kernels: kernels
        )
    }

    /// The directory of a path.
    private static func location(of path: String) -> String {
        let parent = Files.parent(of: path)
        return parent.isEmpty ? "." : parent
    }

    /// The exit status of a child process in which a library was loaded to the end.
    private static let loadedStatus: Int32 = 87
    /// The longest that loading may take, which is a thousand times what it does.
    public static let loadingLimit = Duration.seconds(10)

    /// Loads a library and makes its plugin in a child process.
    ///
    /// What is wrong with the library otherwise is found by this process, which then loads it too.
    private static func tryInChild(_ checked: String, _ path: String, _ limit: Duration) throws {
        let milliseconds = max(1, Int32(limit.seconds * 1000))
        var name = Array(checked.utf8CString)
        let status = name.withUnsafeMutableBytes { bytes in
            csys_in_child(
                { context in
                    guard let name = context?.assumingMemoryBound(to: CChar.self),
                        let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL),
                        let abi = dlsym(handle, "bridge_plugin_abi"),
                        let descriptor = unsafeBitCast(abi, to: bridge_plugin_abi_function.self)()
                    else { return PluginLoader.loadedStatus }
                    let make = dlsym(handle, "bridge_plugin_make")
                    guard (try? PluginLoader.check(descriptor.pointee, "", hasSwift: make != nil)) != nil,
                        (try? KernelTable.kernels(of: handle, "")) != nil, let make,
                        let box = unsafeBitCast(make, to: bridge_plugin_make_function.self)()
                    else { return PluginLoader.loadedStatus }
                    _ = PluginBox.take(box)
                    return PluginLoader.loadedStatus
                },
                bytes.baseAddress,
                milliseconds
            )
        }
        switch status {
        case loadedStatus: return
        case CSYS_CHILD_NOT_STARTED: throw BridgeError.system("cannot try to load \(path)", code: .badPlugin)
        case CSYS_CHILD_TIMED_OUT:
            let seconds = ByteFormat.rounded(limit.seconds, digits: milliseconds % 1000 == 0 ? 0 : 1)
            throw bad("\(path) did not finish loading within \(seconds) seconds; remove or correct the plugin")
        case ..<0:
            throw bad(
                "\(path) stopped the process with signal \(-status) while it was loaded; rebuild it, or remove it if it is not yours"
            )
        default:
            throw bad(
                "\(path) ended the process with status \(status) while it was loaded, and a plugin must not call exit; correct or "
                    + "remove it"
            )
        }
    }

    private static func check(_ descriptor: bridge_plugin_descriptor, _ path: String, hasSwift: Bool) throws {
        guard descriptor.abi_version == bridge_plugin_abi_version() else {
            let side =
                descriptor.abi_version < bridge_plugin_abi_version() ? "rebuild the plugin" : "use a newer Bridge"
            throw bad("\(path) has plugin ABI \(descriptor.abi_version), this Bridge has \(abiVersion); \(side)")
        }
        guard descriptor.byte_count >= UInt32(MemoryLayout<bridge_plugin_descriptor>.size) else {
            throw bad(
                "\(path) has a descriptor of \(descriptor.byte_count) bytes, expected \(MemoryLayout<bridge_plugin_descriptor>.size); rebuild the plugin"
            )
        }
        guard hasSwift else { return }
        guard text(descriptor.compiler) == compiler else {
            throw bad(
                "\(path) was compiled with \(text(descriptor.compiler)), this Bridge with \(compiler); rebuild the plugin with the same Swift"
            )
        }
        guard text(descriptor.core_build) == coreBuild else {
            throw bad(
                "\(path) was built against Bridge \(text(descriptor.core_build)), this is \(coreBuild); rebuild the plugin"
            )
        }
    }

    /// Looks at what the system's loader takes on trust: it maps what the program headers name, and a file that ends
    /// before that ends the process with SIGBUS.
    private static func checkLibrary(_ path: String, _ opened: String) throws {
        let file = try FileStorage(path: opened)
        var header = Elf64_Ehdr()
        let size = MemoryLayout<Elf64_Ehdr>.size
        if file.byteCount >= size { try withUnsafeMutableBytes(of: &header) { try file.read(at: 0, into: $0) } }
        let magic: [UInt8] = [0x7F, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")]
        guard file.byteCount >= size, try file.bytes(0..<4) == magic, header.e_type == UInt16(ET_DYN),
            header.e_phentsize == UInt16(MemoryLayout<Elf64_Phdr>.size)
        else { throw bad("\(path) is not a shared library for this machine; build the plugin with 'swift build'") }
        for index in 0..<Int(header.e_phnum) {
            var segment = Elf64_Phdr()
            let (start, overflow) = header.e_phoff.addingReportingOverflow(UInt64(index * Int(header.e_phentsize)))
            let isInside = !overflow && start <= UInt64(max(0, file.byteCount - Int(header.e_phentsize)))
            if isInside { try withUnsafeMutableBytes(of: &segment) { try file.read(at: Int(start), into: $0) } }
            let (end, isTooLong) = segment.p_offset.addingReportingOverflow(segment.p_filesz)
            guard isInside, !isTooLong, end <= UInt64(file.byteCount) else {
                throw bad(
                    "\(path) has \(file.byteCount) bytes and its headers need more: it is truncated; build or copy it again"
                )
            }
        }
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? "(nothing)"
    }

    private static func bad(_ message: String) -> BridgeError { BridgeError(.badPlugin, message) }
}
