/// The weights of neighbouring pixels in a resize; both filters widen when the image shrinks, so that no pixel is
/// skipped.
public enum ResizeFilter: String, Sendable, CaseIterable {
    /// Triangle of 1 pixel to each side: Pillow's `BILINEAR`.
    case bilinear
    /// Cubic of 2 pixels to each side with a = -0.5: Pillow's `BICUBIC`.
    case bicubic

    /// The support of the filter to each side, in pixels of the smaller image.
    var support: Double {
        switch self {
        case .bilinear: 1
        case .bicubic: 2
        }
    }

    /// The weight at a distance; the order of the operations is Pillow's, so that the rounding is.
    func weight(at distance: Double) -> Double {
        let x = abs(distance)
        let a = -0.5
        switch self {
        case .bilinear:
            return x < 1 ? 1 - x : 0
        case .bicubic:
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
        }
    }
}
