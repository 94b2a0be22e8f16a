import Testing
import Trainer

@Suite struct TrainingSampleTests {
    @Test func theFirstTokenFollowsNothingAndIsNotLearnt() {
        let all = TrainingSample(tokens: [5, 6, 7], labels: [5, 6, 7])
        #expect(all.trainedCount == 2)
        let last = TrainingSample(tokens: [5, 6, 7], labels: [-100, -100, 7])
        #expect(last.trainedCount == 1)
        let none = TrainingSample(tokens: [5, 6], labels: [5, -100])
        #expect(none.trainedCount == 0)
    }
}
