import Foundation

/// What the scripts of fixtures record of a gradient in place of all its elements.
public enum GradientWaves {
    /// The norm and the products with two waves, as the scripts make them.
    public static func of(_ gradient: [Double]) -> [Double] {
        let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let first = gradient.enumerated().reduce(0) { $0 + $1.element * cos(0.37 * Double($1.offset) + 1) }
        let second = gradient.enumerated().reduce(0) { sum, item in
            let place = Double(item.offset)
            return sum + item.element * cos((0.011 * place * place).truncatingRemainder(dividingBy: 6.25))
        }
        return [norm, first, second]
    }
}
