import BridgeCore
import Glibc

/// The shared libraries of this process, by the files that the kernel has mapped.
struct LoadedLibraries {
    private let paths: [String]

    /// Those that are loaded now.
    init() { self.init(maps: KernelFile.text("/proc/self/maps")) }

    /// Those of a text as in `/proc/self/maps`.
    init(maps: String) {
        var seen: Set<Substring> = []
        paths = maps.split(separator: "\n").compactMap { line in
            guard let start = line.firstIndex(of: "/"), seen.insert(line[start...]).inserted else { return nil }
            return String(line[start...])
        }
    }

    /// The file of a library.
    ///
    /// - Parameter name: The name of its file up to the version, such as `libz`.
    /// - Returns: The path; nil when the library is not loaded.
    func path(of name: String) -> String? {
        paths.first { path in
            let file = path.split(separator: "/").last ?? ""
            guard file.hasPrefix(name) else { return false }
            let rest = file.dropFirst(name.count)
            // libopenblasp-r0.3.21.so is libopenblas, and libzstd.so is not libz.
            return rest.hasPrefix(".so") || rest.hasPrefix("p-r") || rest.hasPrefix("-r")
        }
    }

    /// A C function of the libraries of this process, as the type of its pointer.
    static func function<Function>(_ name: String, as type: Function.Type) -> Function? {
        dlopen(nil, RTLD_NOW).flatMap { dlsym($0, name) }.map { unsafeBitCast($0, to: type) }
    }
}
