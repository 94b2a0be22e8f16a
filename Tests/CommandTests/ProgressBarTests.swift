import TestSupport
import Testing

@testable import bridge

/// The progress bar stays on one line of any terminal.
@Suite struct ProgressBarTests {
    private let details = ["12.3 GiB of 123.4 GiB", "1.2 GiB/s", "1:23:45 left"]

    @Test(arguments: [10, 20, 40, 60, 80, 200], ["Writing", "Downloading", "Checking checksums"])
    func theLineFitsIntoTheTerminal(_ width: Int, _ activity: String) {
        for share in [0, 0.5, 1] {
            let line = ProgressBar.line(activity: activity, share: share, details: details, width: width)
            #expect(line.count < width, "\(line)")
            if width >= 40 { #expect(line.contains("\(Int(share * 100)) %") && line.contains("  \(activity) ")) }
        }
    }

    @Test func detailsAreDroppedFromTheEnd() {
        func line(_ width: Int) -> String {
            ProgressBar.line(activity: "Writing", share: 0.25, details: details, width: width)
        }
        #expect(line(40) == "  Writing ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  25 %")
        #expect(line(50).hasSuffix("  25 %  12.3 GiB of 123.4 GiB"))
        #expect(line(100).hasSuffix("  25 %  12.3 GiB of 123.4 GiB  1.2 GiB/s  1:23:45 left"))
    }
}
