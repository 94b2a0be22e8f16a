import Foundation
import Imaging

/// Prints what images have for pixels, a line of JSON a file, for the comparison with Pillow.
///
///     ImageDump FILE...
///
/// `pixels` are those of the file with its alpha, `loaded` those that a model gets. A file that cannot be read gives
/// `{"error": ...}`.
@main
struct ImageDump {
    static func main() throws {
        for path in CommandLine.arguments.dropFirst() {
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
            var line: Data
            do {
                let image = try Image(decoding: bytes)
                let loaded = try Image(loading: bytes)
                line = try JSONSerialization.data(withJSONObject: [
                    "size": [image.width, image.height, image.channels], "pixels": hex(image.bytes),
                    "loaded": hex(loaded.bytes),
                ])
            } catch let error as ImageError {
                line = try JSONSerialization.data(withJSONObject: ["error": error.message])
            }
            line.append(10)
            try FileHandle.standardOutput.write(contentsOf: line)
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
}
