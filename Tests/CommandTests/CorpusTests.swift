import Foundation
import Testing

/// The fuzzers' corpus, replayed without libFuzzer: a crash here is a crash of a reader.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func onlyWhatIsNamedGoodIsAccepted(_ target: FuzzTarget) throws {
        let folder = Models.repository.appendingPathComponent("Fuzz/Corpus/\(target.rawValue)")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(names.count > 10)
        for name in names {
            let bytes = [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
            #expect(target.run(bytes) == name.hasPrefix("good"), "\(target.rawValue)/\(name)")
        }
    }
}
