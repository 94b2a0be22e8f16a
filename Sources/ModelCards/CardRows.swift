import BridgeCore
import JSONTree

/// The synthetic rows that a card trains on: as many as a step has, so that every step has the same ones and the loss has to fall.
enum CardRows {
    /// The number of rows, and of samples in a step.
    static let count = 4

    private static let fileName = "rows.jsonl"
    private static let imageName = "image.bmp"

    /// The file of the rows in a directory.
    static func path(in directory: String) -> String { Files.join(directory, fileName) }

    /// Writes the rows, and the image that they show.
    ///
    /// - Parameters:
    ///   - directory: The directory, which is created.
    ///   - hasImages: Whether the model reads images.
    /// - Throws: `BridgeError` for files that cannot be written.
    static func write(to directory: String, hasImages: Bool) throws {
        guard !Files.exists(path(in: directory)) else { return }
        try Files.createDirectory(directory)
        if hasImages { try Files.write(image, to: Files.join(directory, imageName)) }
        let rows = (1...count).map { number -> JSON in
            let question = "What comes after \(number)?"
            var row: JSON = [
                "messages": [
                    ["role": "user", "content": .string(hasImages ? "<image>\(question)" : question)],
                    ["role": "assistant", "content": .string("After \(number) comes \(number + 1).")],
                ]
            ]
            if hasImages { row.set([.string(imageName)], at: "images") }
            return row
        }
        try Files.write(Array(rows.map { $0.compactText + "\n" }.joined().utf8), to: path(in: directory))
    }

    /// A bitmap of 24 x 16 pixels of different colours, three bytes each.
    private static var image: [UInt8] {
        let (width, height, header) = (24, 16, 54)
        func little(_ value: Int, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        let pixels = (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 97) }
        let start = Array("BM".utf8) + little(header + pixels.count, 4) + little(0, 4) + little(header, 4)
        let format = little(40, 4) + little(width, 4) + little(height, 4) + little(1, 2) + little(24, 2)
        return start + format + little(0, 4) + little(pixels.count, 4) + little(0, 16) + pixels
    }
}
