import Foundation
import TestSupport
import Testing

@testable import Diagnosis

/// The limits of containers, from directories as the kernel shows them.
@Suite struct ControlGroupTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func write(_ text: String, to path: String) throws {
        let url = scratch.url(path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    private func group(_ membership: String) -> ControlGroup {
        ControlGroup(root: scratch.path, membership: membership)
    }

    @Test func theSmallestLimitOfTheGroupsAboveHolds() throws {
        try write("max 100000\n", to: "cpu.max")
        try write("250000 100000\n", to: "a/cpu.max")
        try write("400000 100000\n", to: "a/b/cpu.max")
        try write("max\n", to: "a/memory.max")
        try write("3000000\n", to: "a/b/memory.max")
        #expect(group("0::/a/b\n").processors == 2.5)
        #expect(group("0::/a/b\n").memory == 3_000_000)
        #expect(group("0::/a\n").memory == nil)
        #expect(group("0::/\n").processors == nil)
        // A group outside of the container's own.
        #expect(group("0::/../../a/b\n").processors == 2.5)
    }

    @Test func theFirstVersionHasADirectoryPerController() throws {
        try write("-1\n", to: "cpu/cpu.cfs_quota_us")
        try write("100000\n", to: "cpu/cpu.cfs_period_us")
        try write("150000\n", to: "cpu/x/cpu.cfs_quota_us")
        try write("100000\n", to: "cpu/x/cpu.cfs_period_us")
        try write("9223372036854771712\n", to: "memory/memory.limit_in_bytes")
        try write("7000000\n", to: "memory/x/memory.limit_in_bytes")
        #expect(group("4:cpu,cpuacct:/x\n7:memory:/\n").processors == 1.5)
        #expect(group("4:cpu,cpuacct:/x\n7:memory:/\n").memory == nil)
        #expect(group("4:cpuset:/x\n7:memory:/x\n").processors == nil)
        #expect(group("4:cpuset:/x\n7:memory:/x\n").memory == 7_000_000)
    }

    @Test func withoutGroupsThereIsNoLimit() {
        for membership in ["", "nonsense", "0::", "0::/nowhere"] {
            #expect(group(membership).processors == nil && group(membership).memory == nil, "\(membership)")
        }
    }
}
