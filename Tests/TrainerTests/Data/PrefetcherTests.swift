import BridgeCore
import Foundation
import TestSupport
import Testing
import Trainer

/// Items are made ahead, in order and not more than asked for; threads wait for each other, never for a time.
@Suite struct PrefetcherTests {
    private final class Item: Sendable {
        let number: Int
        private let existing: Monitor<Int>

        init(_ number: Int, _ existing: Monitor<Int>) {
            self.number = number
            self.existing = existing
            existing.update { $0 += 1 }
        }

        deinit { existing.update { $0 -= 1 } }
    }

    @Test(arguments: [(1, 1), (3, 2), (8, 4)])
    func itemsAreDeliveredInOrderAndThenNil(_ depth: Int, _ workers: Int) throws {
        let made = Monitor<Set<Int>>([])
        let prefetcher = Prefetcher(count: 40, depth: depth, workers: workers) { index in
            // With more than one thread, every odd item is ready before the even one that precedes it.
            if workers > 1, index.isMultiple(of: 2) { _ = made.wait { $0.contains(index + 1) } }
            made.update { _ = $0.insert(index) }
            return index
        }
        var items: [Int] = []
        while let item = try prefetcher.next() { items.append(item) }
        #expect(items == Array(0..<40))
        #expect(try prefetcher.next() == nil)
    }

    @Test func asManyItemsAreMadeAheadAsTheDepth() throws {
        let depth = 3
        let (requested, made, excess) = (Monitor(0), Monitor(0), Monitor<[Int]>([]))
        let prefetcher = Prefetcher(depth: depth, workers: 3) { index in
            if index >= requested.value + depth { excess.update { $0.append(index) } }
            made.update { $0 = max($0, index + 1) }
            return index
        }
        for taken in 0..<20 {
            requested.update { $0 += 1 }
            #expect(try prefetcher.next() == taken)
            try #require(made.wait { $0 >= taken + 1 + depth })
        }
        #expect(excess.value == [])
    }

    @Test func anErrorIsThrownAfterTheItemsBeforeItAndAgain() throws {
        let hasFailed = Monitor(false)
        let prefetcher = Prefetcher(depth: 6, workers: 5) { index in
            if index == 4 {
                hasFailed.update { $0 = true }
                throw BridgeError(.corruptInput, "item \(index)")
            }
            _ = hasFailed.wait { $0 }
            return index
        }
        for index in 0..<4 { #expect(try prefetcher.next() == index) }
        expectError(mentioning: "item 4") { try prefetcher.next() }
        expectError(mentioning: "item 4") { try prefetcher.next() }
    }

    /// The item that the caller waits for is not made before the caller is back.
    @Test func cancellingWakesAWaitingCaller() throws {
        let (isMaking, isReleased) = (Monitor(false), Monitor(false))
        let prefetcher = Prefetcher<Int>(depth: 1, workers: 1) { index in
            if index == 1 {
                isMaking.update { $0 = true }
                _ = isReleased.wait { $0 }
            }
            return index
        }
        #expect(try prefetcher.next() == 0)
        Thread {
            _ = isMaking.wait { $0 }
            prefetcher.cancel()
        }.start()
        expectError(mentioning: "interrupted") { try prefetcher.next() }
        isReleased.update { $0 = true }
    }

    @Test func itemsAreReleasedWithThePrefetcher() throws {
        let existing = Monitor(0)
        var prefetcher: Prefetcher<Item>? = Prefetcher(depth: 5, workers: 2) { Item($0, existing) }
        #expect(try prefetcher?.next()?.number == 0)
        prefetcher = nil
        #expect(existing.wait { $0 == 0 })
    }
}
