public import Foundation

/// A tmpfs that exists as long as this object.
public final class SmallDisk {
    struct Failure: Error {}

    /// Whether this process may mount a file system.
    public static let mayMount: Bool = {
        guard geteuid() == 0, let scratch = try? TemporaryDirectory() else { return false }
        return withExtendedLifetime(scratch) { (try? SmallDisk(at: scratch.url("disk"), kilobytes: 64)) != nil }
    }()

    /// Where it is mounted.
    public let url: URL

    /// Mounts one.
    public init(at url: URL, kilobytes: Int) throws {
        self.url = url
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        guard try Self.run("mount -t tmpfs -o size=\(kilobytes)k tmpfs '\(url.path)'") else { throw Failure() }
    }

    deinit { _ = try? Self.run("umount '\(url.path)'") }

    /// How many bytes of it are used.
    public func usedByteCount() throws -> Int {
        var status = statvfs()
        guard statvfs(url.path, &status) == 0 else { throw Failure() }
        return Int(status.f_blocks - status.f_bfree) * Int(status.f_frsize)
    }

    private static func run(_ command: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
