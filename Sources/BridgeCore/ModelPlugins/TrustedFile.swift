import BridgeSupport
import Glibc

/// A library that only its owner and root can have written, opened once and checked as opened.
///
/// The path is walked component by component from the root directory. A user who can write to a directory of the path,
/// or to one that holds a link of it, can replace the library; so each of them is checked as it is opened, and the
/// library is loaded through the directory that was checked last and not by its path.
struct TrustedFile: ~Copyable {
    /// The directory that the library is in.
    let directory: Int32
    /// The library.
    let file: Int32
    /// Its name in that directory.
    let name: String

    private static let mostLinks = 40
    /// Opens a directory or a link itself, for looking only; Linux's `O_PATH`.
    private static let lookOnly: Int32 = 0o10000000 | O_NOFOLLOW | O_CLOEXEC

    deinit {
        close(directory)
        close(file)
    }

    /// Walks a path to a file.
    ///
    /// - Throws: `BridgeError` with code `badPlugin` when there is none, or others may have put it there.
    init(_ path: String) throws {
        var walk = try Walk(path)
        defer { walk.closeAll() }
        while let component = walk.next() { try walk.step(component) }
        guard let (directory, file, name) = walk.takeResult() else {
            guard Files.kind(of: path) != .directory else {
                throw BridgeError(
                    .badPlugin,
                    "\(path) is a directory, expected a library; give the file of a plugin, lib<Name>Plugin.so, or name the directory in "
                        + "BRIDGE_PLUGIN_PATH"
                )
            }
            throw BridgeError(.badPlugin, "there is no plugin at \(path)")
        }
        self.directory = directory
        self.file = file
        self.name = name
    }

    /// The path of an open file or directory, whatever has become of its name.
    static func path(of descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }

    /// The state of a walk along a path.
    private struct Walk {
        private let path: String
        private var rest: [String]
        private var directory: Int32
        private var file: Int32?
        private var name = ""
        /// The path of the directory, for messages.
        private var location = "/"
        private var links = 0
        /// The directories of the program: a user who can write to them can replace the program itself.
        private let ofTheProgram: Set<String>

        init(_ path: String) throws {
            self.path = path
            var start = path
            if !path.hasPrefix("/") {
                guard let current = getcwd(nil, 0) else {
                    throw BridgeError.system("cannot find \(path)", code: .badPlugin)
                }
                start = String(cString: current) + "/" + path
                free(current)
            }
            rest = start.split(separator: "/").reversed().map(String.init)
            directory = Glibc.open("/", TrustedFile.lookOnly | O_DIRECTORY)
            var holders: Set<String> = []
            if var holder = Files.real("/proc/self/exe") {
                while holder != "/" {
                    holder = Files.parent(of: holder)
                    if let identity = Files.identity(of: holder) { holders.insert(identity) }
                }
            }
            ofTheProgram = holders
            guard directory >= 0 else { throw BridgeError.cannotOpen("/", code: .badPlugin) }
        }

        mutating func next() -> String? { rest.popLast() }

        mutating func step(_ component: String) throws {
            guard file == nil else { throw missing }
            if component == "." { return }
            let descriptor = openat(directory, component, TrustedFile.lookOnly)
            guard descriptor >= 0 else { throw missing }
            var keeps = false
            defer { if !keeps { close(descriptor) } }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else {
                throw BridgeError.system("cannot look at \(location)", code: .badPlugin)
            }
            switch status.st_mode & S_IFMT {
            case S_IFLNK:
                try checkDirectory(holdsDirectories: false, link: (component, status))
                try follow(descriptor, component)
            case S_IFDIR:
                try checkDirectory(holdsDirectories: true, link: nil)
                close(directory)
                directory = descriptor
                keeps = true
                location = component == ".." ? Files.parent(of: location) : Files.join(location, component)
            case S_IFREG:
                try checkDirectory(holdsDirectories: false, link: nil)
                try check(status, Files.join(location, component), "file", isSticky: false)
                (file, name) = (descriptor, component)
                keeps = true
            default: throw missing
            }
        }

        private var missing: BridgeError { BridgeError(.badPlugin, "there is no plugin at \(path)") }

        private mutating func follow(_ link: Int32, _ name: String) throws {
            links += 1
            var target = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlinkat(link, "", &target, target.count)
            guard links <= TrustedFile.mostLinks, count > 0, count < target.count else { throw missing }
            let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            rest += text.split(separator: "/").reversed().map(String.init)
            guard text.hasPrefix("/") else { return }
            let top = Glibc.open("/", TrustedFile.lookOnly | O_DIRECTORY)
            guard top >= 0 else { throw BridgeError.cannotOpen("/", code: .badPlugin) }
            close(directory)
            (directory, location) = (top, "/")
        }

        /// Checks the directory that a component was found in.
        private func checkDirectory(holdsDirectories: Bool, link: (name: String, status: stat)?) throws {
            var status = stat()
            guard fstat(directory, &status) == 0 else {
                throw BridgeError.system("cannot look at \(location)", code: .badPlugin)
            }
            if holdsDirectories, ofTheProgram.contains(Files.identity(of: status)) { return }
            // In a directory with the sticky bit others may only change what is their own, such as a link.
            let isSticky = status.st_mode & S_ISVTX != 0
            try check(status, location, "directory", isSticky: isSticky)
            guard let link, isSticky, link.status.st_uid != 0, link.status.st_uid != geteuid() else { return }
            throw BridgeError(
                .badPlugin,
                "\(path) is not loaded, because another user made the link \(Files.join(location, link.name)); name the library "
                    + "itself"
            )
        }

        private func check(_ status: stat, _ location: String, _ what: String, isSticky: Bool) throws {
            let othersMayWrite = status.st_mode & (S_IWGRP | S_IWOTH) != 0 && !isSticky
            let isForeign = status.st_uid != 0 && status.st_uid != geteuid()
            guard othersMayWrite || isForeign else { return }
            let fix = isForeign ? "chown it to you" : "chmod go-w \(location)"
            throw BridgeError(
                .badPlugin,
                "\(path) is not loaded, because other users may write to the \(what) \(location); \(fix) first"
            )
        }

        /// The opened file, which the caller closes.
        mutating func takeResult() -> (directory: Int32, file: Int32, name: String)? {
            guard let file else { return nil }
            defer { (directory, self.file) = (-1, nil) }
            return (directory, file, name)
        }

        mutating func closeAll() {
            if directory >= 0 { close(directory) }
            if let file { close(file) }
        }
    }
}
