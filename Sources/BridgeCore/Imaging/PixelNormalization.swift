/// The normalisation of bytes to a model's input: `(byte * rescale - mean) / deviation`, channel by channel.
public struct PixelNormalization: Sendable, Equatable {
    /// The factor of a byte, by default 1 / 255.
    public var rescale: Double
    /// The value that is subtracted from red, green and blue after that.
    public var mean: [Double]
    /// The divisor of red, green and blue after that.
    public var deviation: [Double]

    /// The values of a processor's configuration.
    ///
    /// - Throws: ``ImageError`` when `mean` or `deviation` does not have three values, or a deviation is zero.
    public init(rescale: Double, mean: [Double], deviation: [Double]) throws(ImageError) {
        guard mean.count == 3, deviation.count == 3 else {
            throw ImageError(
                .badRequest,
                "a normalisation needs 3 means and 3 deviations, not \(mean.count) and \(deviation.count)"
            )
        }
        let finite = ([rescale] + mean + deviation).allSatisfy { Float($0).isFinite }
        guard finite, deviation.allSatisfy({ Float($0) != 0 }) else {
            throw ImageError(.badRequest, "a normalisation needs finite numbers and deviations other than 0")
        }
        (self.rescale, self.mean, self.deviation) = (rescale, mean, deviation)
    }

    /// The value of each byte in one channel.
    ///
    /// The product is computed in float64 and rounded to float32, the rest is float32: as transformers' Pillow path
    /// does in numpy, so the values are bit-equal. There are only 256 of them.
    func table(channel: Int) -> [Float] {
        let mean = Float(mean[channel])
        let deviation = Float(deviation[channel])
        return (0..<256).map { (Float(Double($0) * rescale) - mean) / deviation }
    }
}
