import BridgeCore
import Glibc
import JSONTree

/// The shared libraries: those that the program links, and those of the network, which it loads later.
struct LibraryCheck {
    /// The directory of the core's library.
    let directory: String

    /// The libraries and the names of their files up to the version.
    private static let linked = [
        ("OpenBLAS", "libopenblas"), ("oneDNN", "libdnnl"), ("libffi", "libffi"), ("json-c", "libjson-c"),
        ("PCRE2", "libpcre2-8"), ("libpng", "libpng16"), ("libjpeg", "libjpeg"), ("libwebp", "libwebp"),
        ("libtiff", "libtiff"), ("giflib", "libgif"), ("zlib", "libz"), ("zstd", "libzstd"), ("snappy", "libsnappy"),
    ]
    private static let ofTheNetwork = [("libcurl", "libcurl"), ("OpenSSL", "libcrypto")]

    func run() -> Finding {
        let fetch = Files.join(directory, "libBridgeFetch.so")
        let handle = dlopen(fetch, RTLD_NOW | RTLD_LOCAL)
        let reason = handle == nil ? dlerror().map { String(cString: $0) } ?? "no reason given" : ""
        let libraries = LoadedLibraries()
        var names: [String] = []
        var missing: [String] = []
        var facts: JSON = [:]
        for (name, file) in Self.linked + (handle == nil ? [] : Self.ofTheNetwork) {
            guard let path = libraries.path(of: file) else {
                missing.append(name)
                continue
            }
            let version = Self.version(of: name)
            names.append(version.map { "\(name) \($0)" } ?? name)
            facts.set(["path": .string(path), "version": version.map { .string($0) } ?? .null], at: name)
        }
        var finding = Finding(.ok, names.joined(separator: ", "), facts: facts)
        if !missing.isEmpty {
            finding.text = "\(missing.joined(separator: ", ")) not loaded"
            finding.lower(to: .failed, advice: "install Bridge again")
        }
        if handle == nil {
            finding.text = "\(fetch) cannot be loaded (\(reason))"
            finding.lower(to: .failed, advice: "install libcurl4 and libssl3, or Bridge again; downloads need them")
        }
        return finding
    }

    /// The version of a library that tells it, with what it has chosen for the processor.
    private static func version(of name: String) -> String? {
        switch name {
        case "OpenBLAS":
            typealias Text = @convention(c) () -> UnsafePointer<CChar>?
            let configuration = LoadedLibraries.function("openblas_get_config", as: Text.self)?()
            let core = LoadedLibraries.function("openblas_get_corename", as: Text.self)?()
            guard let configuration, let core else { return nil }
            let version = String(cString: configuration).split(separator: " ").dropFirst().first ?? ""
            return "\(version) for \(String(cString: core))"
        case "oneDNN":
            // `dnnl_version_t` begins with the major, the minor and the patch number.
            typealias Version = @convention(c) () -> UnsafePointer<Int32>?
            return LoadedLibraries.function("dnnl_version", as: Version.self)?().map { "\($0[0]).\($0[1]).\($0[2])" }
        default: return nil
        }
    }
}
