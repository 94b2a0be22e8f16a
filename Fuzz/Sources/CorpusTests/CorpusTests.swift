import Foundation
import TestSupport
import Testing

/// The fuzzers' corpus, replayed without libFuzzer: a crash here is a crash of a reader.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func onlyInputsNamedGoodAreAccepted(_ target: FuzzTarget) throws {
        let inputs = try contents(of: "\(Fixtures.repository)/Fuzz/Corpus/\(target.rawValue)")
        #expect(inputs.count > 10)
        for (name, bytes) in inputs {
            let bytes = [UInt8](bytes)
            #expect(target.run(bytes) == name.hasPrefix("good"), "\(target.rawValue)/\(name)")
        }
    }
}
