import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Diagnosis

/// What each check finds on this machine and on damaged ones.
@Suite struct CheckTests {
    private let scratch: TemporaryDirectory
    /// The directory with the core's library and the plugins.
    private var built: String { BridgeProcess.buildDirectory.path }

    init() throws { scratch = try TemporaryDirectory() }

    // MARK: Checkup

    @Test func aCheckThatHangsIsAWarningInTimeAndTheOthersFollow() {
        let mayEnd = Monitor(false)
        defer { mayEnd.update { $0 = true } }
        var checkup = Checkup(checks: [
            Check("first", atMost: .milliseconds(200), adviceForTimeout: "replace it") {
                _ = mayEnd.wait { $0 }
                return Finding(.ok, "late")
            },
            Check("second", atMost: .seconds(60), adviceForTimeout: "wait") {
                throw BridgeError(.fileSystem, "it is broken; repair it")
            },
            Check("third", atMost: .seconds(60), adviceForTimeout: "wait") {
                Finding(.warning, "slow", advice: "wait")
            },
        ])
        checkup.limit = .seconds(60)
        var seen: [String] = []
        let findings = checkup.run { check, _ in seen.append(check.name) }
        #expect(seen == ["first", "second", "third"])
        #expect(
            findings.map(\.finding.sentence) == [
                "no result within 0.2 s; replace it", "it is broken; repair it", "slow; wait",
            ]
        )
        #expect(findings.map(\.finding.status) == [.warning, .failed, .warning])
        let json = Checkup.json(findings)
        #expect(json["status"] == "failed")
        #expect(json["checks"]?.array?.last?["advice"] == "wait")
        #expect(json["checks"]?.array?[1]["advice"] == .null)
    }

    @Test func theLimitOfAllHoldsForEach() {
        let mayEnd = Monitor(false)
        defer { mayEnd.update { $0 = true } }
        var checkup = Checkup(
            checks: (0..<4).map { index in
                Check("\(index)", atMost: .seconds(60), adviceForTimeout: "wait") {
                    _ = mayEnd.wait { $0 }
                    return Finding(.ok, "late")
                }
            }
        )
        checkup.limit = .milliseconds(300)
        let begin = ContinuousClock.now
        #expect(checkup.run().allSatisfy { $0.finding.status == .warning })
        #expect(ContinuousClock.now - begin < .seconds(20))
    }

    // MARK: Each

    @Test func theLibrariesOfTheCoreAreLoadedWithTheirVersions() throws {
        let finding = LibraryCheck(directory: built).run()
        #expect(finding.status == .ok, "\(finding.sentence)")
        for name in ["OpenBLAS", "oneDNN"] {
            let version = try #require(finding.facts[name]?["version"]?.string)
            #expect(version.firstMatch(of: #/^\d+\.\d+\.\d+/#) != nil, "\(version)")
        }
        let path = try #require(finding.facts["json-c"]?["path"]?.string)
        #expect(FileManager.default.fileExists(atPath: path))
        let broken = LibraryCheck(directory: scratch.path).run()
        #expect(broken.status == .failed && broken.sentence.contains("libBridgeFetch.so"), "\(broken.sentence)")
    }

    @Test func aLibraryIsFoundByTheNameUpToItsVersion() {
        let libraries = LoadedLibraries(
            maps: """
                7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/libzstd.so.1.5.4
                7f02-7f03 r-xp 00000000 08:01 2 /usr/lib/openblas-pthread/libopenblasp-r0.3.21.so
                7f04-7f05 rw-p 00000000 00:00 0 [heap]
                """
        )
        #expect(libraries.path(of: "libzstd") == "/usr/lib/libzstd.so.1.5.4")
        #expect(libraries.path(of: "libz") == nil)
        #expect(libraries.path(of: "libopenblas") == "/usr/lib/openblas-pthread/libopenblasp-r0.3.21.so")
    }

    @Test func threadsAreComparedWithWhatTheContainerMayUse() {
        func check(_ count: Int, limit: Double? = nil, asked: String? = nil) -> Finding {
            ThreadCheck(
                count: count,
                allowed: 8,
                group: ControlGroup(processors: limit, memory: nil),
                asked: asked,
                online: 16
            ).run()
        }
        #expect(check(8) == Finding(.ok, "8 threads on 8 of 16 processors", facts: check(8).facts))
        #expect(check(8, limit: 2.4).status == .warning)
        #expect(check(8, limit: 2.4).sentence.contains("may use 2.4"))
        #expect(check(8, limit: 2.4).sentence.hasSuffix("set BRIDGE_NUM_THREADS=2"))
        #expect(check(2, limit: 2.4).status == .ok)
        #expect(check(8, limit: 0.2).sentence.hasSuffix("set BRIDGE_NUM_THREADS=1"))
        #expect(check(3, asked: "3").sentence.contains("BRIDGE_NUM_THREADS is 3: unset it to use 8 threads"))
        #expect(check(9, asked: "9").sentence.hasSuffix("set BRIDGE_NUM_THREADS=8"))
    }

    @Test func pluginsLoadOrAreNamed() throws {
        let finding = PluginCheck(directories: [built]).run()
        #expect(finding.status == .ok, "\(finding.sentence)")
        #expect(finding.text.contains("mistral") && finding.text.contains("gemma3"))
        #expect(finding.facts["loaded"]?.array?.count == 3)
        let none = PluginCheck(directories: [scratch.path]).run()
        #expect(none.status == .failed && none.sentence.contains("no plugin in \(scratch.path)"))
        let file = try scratch.write(Array("no library".utf8), to: "libBrokenPlugin.so")
        let broken = PluginCheck(directories: [built, scratch.path]).run()
        #expect(broken.status == .failed && broken.sentence.contains(file), "\(broken.sentence)")
        #expect(broken.facts["loaded"]?.array?.count == 3)
    }

    @Test func runsWithRanksNeedTheLibraryAndTheLauncherOfOneVersion() throws {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let finding = MPICheck(directory: built, path: path, limit: .seconds(60)).run()
        let launcher = try #require(finding.facts["mpirun"]?.string)
        #expect(finding.text.contains("Open MPI \(try #require(finding.facts["library"]?.string))"))
        #expect(FileManager.default.isExecutableFile(atPath: launcher))
        let none = MPICheck(directory: scratch.path, path: path).run()
        #expect(none.status == .warning && none.sentence.contains("install openmpi-bin"), "\(none.sentence)")
        #expect(MPICheck(directory: built, path: scratch.path).run().sentence.contains("no mpirun in PATH"))
        // Another version, and none.
        for (script, expected) in [
            ("#!/bin/sh\necho 'mpirun (Open MPI) 9.8.7'\n", "but mpirun is of 9.8.7"),
            ("#!/bin/sh\nexit 1\n", "prints no version"),
        ] {
            let file = try scratch.write(Array(script.utf8), to: "mpirun")
            chmod(file, 0o755)
            let other = MPICheck(directory: built, path: scratch.path, limit: .seconds(60)).run()
            #expect(other.status == .warning && other.sentence.contains(expected), "\(other.sentence)")
        }
        // A file system without space.
        let small = MPICheck(directory: built, path: path, sharedMemory: "/proc").run()
        #expect(small.status == .warning && small.sentence.contains("--shm-size=1g"), "\(small.sentence)")
    }

    @Test func memoryIsThatOfTheContainer() {
        let account = "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:    8000000 kB\n"
        func check(limit: Int?) -> Finding {
            MemoryCheck(group: ControlGroup(processors: nil, memory: limit), threadCount: 2, account: account).run()
        }
        #expect(check(limit: nil).text.hasPrefix("8.19 GB of 16.4 GB available"))
        #expect(check(limit: nil).status == .ok)
        #expect(check(limit: 1_000_000_000).text.hasPrefix("1.00 GB of 1.00 GB available"))
        #expect(check(limit: 1_000_000_000).status == .warning)
    }

    @Test func aSweepReadsAllOfItsMemory() throws {
        let rate = try #require(ReadSweep(byteCount: 64 << 20, threadCount: 2, limit: .milliseconds(50)).run())
        // From below any memory's rate to above any cache's.
        #expect(rate > 1e8 && rate < 1e14, "\(rate)")
        #expect(ReadSweep(byteCount: 1, threadCount: 2).run() == nil)
    }

    @Test func theDiskIsMeasuredAndKeepsNothing() throws {
        let finding = try DiskCheck(path: scratch.path("a/b"), byteCount: 16 << 20).run()
        #expect(finding.facts["directory"]?.string == scratch.path)
        #expect(try #require(finding.facts["written_bytes_per_second"]?.integer) > 0)
        #expect(try #require(finding.facts["read_bytes_per_second"]?.integer) > 0)
        #expect(scratch.content.isEmpty)
        let error = #expect(throws: BridgeError.self) { try DiskCheck(path: "/proc/self").run() }
        #expect(error?.message.contains("/proc/self") == true)
    }

    @Test func theCacheIsDescribedOrCannotBeWritten() throws {
        let path = scratch.path("hub")
        #expect(CacheCheck(path: path, limit: .seconds(60)).run().text == "\(path), which the first download makes")
        try FileManager.default.createDirectory(
            atPath: "\(path)/models--org--name/blobs",
            withIntermediateDirectories: true
        )
        try scratch.write([UInt8](repeating: 7, count: 3000), to: "hub/models--org--name/blobs/x")
        let finding = CacheCheck(path: path, limit: .seconds(60)).run()
        #expect(finding.text == "\(path), 1 repository, 3.00 kB" && finding.status == .ok)
        try scratch.write([1], to: "file")
        let broken = CacheCheck(path: scratch.path("file/hub")).run()
        #expect(broken.status == .failed && broken.sentence.contains("set HF_HUB_CACHE"))
    }
}
