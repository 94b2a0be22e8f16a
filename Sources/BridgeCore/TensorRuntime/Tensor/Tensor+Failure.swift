extension Tensor {
    /// Stops the process: a shape or a type that does not fit inside a forward pass is a mistake in the program.
    ///
    /// External values are checked at the boundary, which throws.
    public static func fail(_ operation: String, _ problem: String, _ tensors: Tensor...) -> Never {
        let operands = tensors.map { "\($0.elementType.rawValue)\($0.shape)" }.joined(separator: ", ")
        fatalError("\(operation): \(problem)\(operands.isEmpty ? "" : " (\(operands))")")
    }
}
