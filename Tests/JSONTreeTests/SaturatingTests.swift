import JSONTree
import Testing

/// The conversion of numbers from outside.
@Suite struct SaturatingTests {
    @Test func whatDoesNotFitBecomesTheClosestInteger() {
        #expect(Int(saturating: 1e19) == .max && Int(saturating: -1e19) == .min)
        #expect(Int(saturating: Double.infinity) == .max && Int(saturating: -Double.infinity) == .min)
        #expect(Int(saturating: Double.nan) == 0 && Int(saturating: Float.nan) == 0)
        #expect(Int(saturating: 0x1p63) == .max && Int(saturating: -0x1p63) == .min)
        #expect(Int(saturating: (0x1p63).nextDown) == 9_223_372_036_854_774_784)
        #expect(Int(saturating: Float.greatestFiniteMagnitude) == .max)
        #expect(Int(saturating: 2.9) == 2 && Int(saturating: -2.9) == -2 && Int(saturating: -0.0) == 0)
    }
}
