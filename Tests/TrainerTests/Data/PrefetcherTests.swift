import BridgeCore
import Foundation
import Synchronization
import Testing
import Trainer

@Suite struct PrefetcherTests {
    /// Something whose end can be seen.
    private final class Witness: Sendable {
        let alive: Mutex<Int>
        init() { alive = Mutex(0) }
    }

    private final class Item: Sendable {
        let number: Int
        private let witness: Witness
        init(_ number: Int, _ witness: Witness) {
            self.number = number
            self.witness = witness
            witness.alive.withLock { $0 += 1 }
        }
        deinit { witness.alive.withLock { $0 -= 1 } }
    }

    @Test(arguments: [(1, 1), (3, 2), (8, 4)])
    func itemsComeInOrderAndThenAnEnd(_ depth: Int, _ workers: Int) throws {
        let prefetcher = Prefetcher(count: 40, depth: depth, workers: workers) { index in
            // Later items are often ready before earlier ones.
            usleep(UInt32(index * 37 % 11) * 300)
            return index
        }
        var items: [Int] = []
        while let item = try prefetcher.next() { items.append(item) }
        #expect(items == Array(0..<40))
        #expect(try prefetcher.next() == nil)
    }

    @Test func notMoreIsMadeAheadThanAskedFor() throws {
        let newest = Witness()
        let prefetcher = Prefetcher(depth: 3, workers: 3) { index in
            newest.alive.withLock { $0 = max($0, index + 1) }
            return index
        }
        for taken in 0..<20 {
            #expect(try prefetcher.next() == taken)
            usleep(2000)
            #expect(newest.alive.withLock { $0 } <= taken + 1 + 3)
        }
    }

    @Test func anErrorComesInItsPlaceAndStays() throws {
        let prefetcher = Prefetcher(depth: 6, workers: 3) { index in
            if index >= 4 { throw BridgeError(.corruptInput, "item \(index)") }
            usleep(UInt32(5 - index) * 1000)
            return index
        }
        for index in 0..<4 { #expect(try prefetcher.next() == index) }
        expectError(mentioning: "item 4") { try prefetcher.next() }
        expectError(mentioning: "item 4") { try prefetcher.next() }
    }

    @Test func cancellingWakesWhoeverWaits() throws {
        let prefetcher = Prefetcher<Int>(depth: 1, workers: 1) { index in
            if index == 1 { sleep(2) }
            return index
        }
        #expect(try prefetcher.next() == 0)
        let thread = Thread {
            usleep(50000)
            prefetcher.cancel()
        }
        thread.start()
        let start = Date()
        expectError(mentioning: "interrupted") { try prefetcher.next() }
        #expect(Date().timeIntervalSince(start) < 1.5)
    }

    @Test func nothingIsLeftBehindWhenItGoes() throws {
        let witness = Witness()
        var prefetcher: Prefetcher<Item>? = Prefetcher(depth: 5, workers: 2) { Item($0, witness) }
        #expect(try prefetcher?.next()?.number == 0)
        prefetcher = nil
        let end = Date().addingTimeInterval(10)
        while witness.alive.withLock({ $0 }) > 0, Date() < end { usleep(1000) }
        #expect(witness.alive.withLock { $0 } == 0)
    }
}
