import Testing
import Trainer

@Suite struct TrainingSampleTests {
    @Test func theFirstTokenFollowsNothingAndIsNotSupervised() {
        let all = TrainingSample(tokens: [5, 6, 7], labels: [5, 6, 7])
        #expect(all.supervisedCount == 2)
        let last = TrainingSample(tokens: [5, 6, 7], labels: [-100, -100, 7])
        #expect(last.supervisedCount == 1)
        let none = TrainingSample(tokens: [5, 6], labels: [5, -100])
        #expect(none.supervisedCount == 0)
    }
}
