import Testing

@testable import BridgeSupport

@Suite struct MountTableTests {
    /// Lines as in proc_pid_mountinfo(5): with two optional fields, with none, with a space in the path, and one cut short.
    @Test func fieldsAreFoundAroundTheOptionalOnes() {
        let table = """
            36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
            40 36 0:42 / /data\\040one rw - nfs4 server:/data rw
            41 36 0:43 / /cut rw -
            """
        #expect(
            MountTable.entries(in: table) == [
                MountTable.Entry(device: "98:0", path: "/mnt2", type: "ext3"),
                MountTable.Entry(device: "0:42", path: "/data one", type: "nfs4"),
            ]
        )
    }

    @Test func theRootIsMounted() {
        #expect(MountTable.entries.contains { $0.path == "/" })
    }
}
