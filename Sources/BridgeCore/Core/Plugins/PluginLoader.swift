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
        try checkPermissions(path)
        guard isSharedLibrary(path) else {
            throw bad("\(path) is not a shared library for this machine; build the plugin with 'swift build'")
        }
        // A full path, or dlopen would look in the system's folders.
        let fullPath =
            realpath(path, nil).map { pointer in
                defer { free(pointer) }
                return String(cString: pointer)
            } ?? path
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
    private static func checkPermissions(_ path: String) throws {
        guard Files.kind(of: path) == .file else { throw bad("there is no plugin at \(path)") }
        for (place, what) in [(Files.parent(of: path), "folder"), (path, "file")] {
            var status = stat()
            guard stat(place, &status) == 0 else {
                throw BridgeError.system("cannot look at \(place)", code: .badPlugin)
            }
            let othersMayWrite = status.st_mode & (S_IWGRP | S_IWOTH) != 0 && status.st_mode & S_ISVTX == 0
            let isForeign = status.st_uid != 0 && status.st_uid != geteuid()
            guard !othersMayWrite, !isForeign else {
                let fix = isForeign ? "chown it to you" : "chmod go-w \(place)"
                throw bad("\(path) is not loaded, because other users may write to the \(what) \(place); \(fix) first")
            }
        }
    }

    private static func isSharedLibrary(_ path: String) -> Bool {
        guard let file = try? FileStorage(path: path), file.byteCount >= 20, let start = try? file.bytes(0..<20) else {
            return false
        }
        // ELF, and e_type ET_DYN.
        return start[0..<4] == [0x7F, 0x45, 0x4C, 0x46] && start[16] == 3
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? "(nothing)"
    }

    private static func bad(_ message: String) -> BridgeError { BridgeError(.badPlugin, message) }
}
