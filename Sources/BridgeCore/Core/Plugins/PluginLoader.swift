import CPluginABI
import Glibc

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
    /// What it brings.
    public let plugin: any ModelPlugin
}

/// Loads shared libraries, and says in one sentence why one cannot be used.
public enum PluginLoader {
    /// The version of the descriptor that is understood here.
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
    /// - Throws: `BridgeError` with code `badPlugin`.
    public static func load(_ path: String) throws -> LoadedPlugin {
        // A full path, or dlopen would look in the system's folders.
        let fullPath =
            realpath(path, nil).map { pointer in
                defer { free(pointer) }
                return String(cString: pointer)
            } ?? path
        try checkPermissions(path, fullPath)
        try checkLibrary(path)
        guard let handle = dlopen(fullPath, RTLD_NOW | RTLD_LOCAL) else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            if reason.contains("undefined symbol") {
                throw bad(
                    "\(path) was built against another Bridge than this \(coreBuild); rebuild the plugin (\(reason))"
                )
            }
            throw bad("\(path) cannot be loaded: \(reason)")
        }
        guard let abi = dlsym(handle, "bridge_plugin_abi"), let make = dlsym(handle, "bridge_plugin_make") else {
            let missing = dlsym(handle, "bridge_plugin_abi") == nil ? "bridge_plugin_abi" : "bridge_plugin_make"
            dlclose(handle)
            throw bad("\(path) does not export \(missing), so it is no Bridge plugin; see the article AddAModel")
        }
        guard let descriptor = unsafeBitCast(abi, to: bridge_plugin_abi_function.self)() else {
            throw bad("\(path) has no descriptor: bridge_plugin_abi returned nothing")
        }
        try check(descriptor.pointee, path)
        guard let box = unsafeBitCast(make, to: bridge_plugin_make_function.self)() else {
            throw bad("\(path) has no plugin: bridge_plugin_make returned nothing")
        }
        return LoadedPlugin(
            path: path,
            name: text(descriptor.pointee.name),
            version: text(descriptor.pointee.version),
            coreBuild: text(descriptor.pointee.core_build),
            compiler: text(descriptor.pointee.compiler),
            plugin: PluginBox.take(box)
        )
    }

    private static func check(_ descriptor: bridge_plugin_descriptor, _ path: String) throws {
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

    /// A library that others may replace is code that others may run.
    private static func checkPermissions(_ path: String, _ fullPath: String) throws {
        guard Files.kind(of: path) == .file else { throw bad("there is no plugin at \(path)") }
        let folders = Set([path, fullPath].map { Files.parent(of: $0) }).sorted()
        for (place, what) in folders.map({ ($0, "folder") }) + [(path, "file")] {
            var status = stat()
            guard stat(place, &status) == 0 else {
                throw BridgeError.system("cannot look at \(place)", code: .badPlugin)
            }
            // In a folder with the sticky bit others may only change what is their own.
            let isSticky = what == "folder" && status.st_mode & S_ISVTX != 0
            let othersMayWrite = status.st_mode & (S_IWGRP | S_IWOTH) != 0 && !isSticky
            let isForeign = status.st_uid != 0 && status.st_uid != geteuid()
            guard !othersMayWrite, !isForeign else {
                let fix = isForeign ? "chown it to you" : "chmod go-w \(place)"
                throw bad("\(path) is not loaded, because other users may write to the \(what) \(place); \(fix) first")
            }
        }
    }

    /// Looks at what the system's loader takes on trust: it maps what the program headers name, and a file that ends
    /// before that ends the process with SIGBUS.
    private static func checkLibrary(_ path: String) throws {
        let file = try FileStorage(path: path)
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
                    "\(path) has \(file.byteCount) bytes and its own headers name more: it was cut short; build or copy it again"
                )
            }
        }
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? "(nothing)"
    }

    private static func bad(_ message: String) -> BridgeError { BridgeError(.badPlugin, message) }
}
