import Foundation
import TestSupport
import Testing

/// Addresses of tensor memory, which other modules cannot see, are used by the engine alone inside the module too.
@Suite struct MemoryAccessTests {
    @Test func onlyTheEngineUsesAddresses() throws {
        let root = "\(Fixtures.repository)/Sources/BridgeCore/TensorRuntime"
        let paths = try FileManager.default.subpathsOfDirectory(atPath: root).filter { $0.hasSuffix(".swift") }
        let addresses = /\.(hostAddress|pointer|floatPointer|indexPointer)\b/
        func uses(_ path: String) throws -> Bool {
            try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8).firstMatch(of: addresses) != nil
        }
        let (engine, others) = (paths.filter { $0.hasPrefix("Engine/") }, paths.filter { !$0.hasPrefix("Engine/") })
        #expect(try engine.contains(where: uses) && others.count > 20)
        // Where the address is stored.
        #expect(try others.filter(uses) == ["Tensor/TensorStorage.swift"])
    }
}
