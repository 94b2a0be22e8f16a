import Foundation
import Testing

/// The fuzzers' corpus, replayed without libFuzzer: a crash here is a crash of a reader.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func onlyWhatIsNamedGoodIsAccepted(_ target: FuzzTarget) throws {
        let directory = Models.repository.appendingPathComponent("Fuzz/Corpus/\(target.rawValue)")
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
        #expect(names.count > 10)
        for name in names {
            let bytes = [UInt8](try Data(contentsOf: directory.appendingPathComponent(name)))
            #expect(target.run(bytes) == name.hasPrefix("good"), "\(target.rawValue)/\(name)")
        }
    }
}
