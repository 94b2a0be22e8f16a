/// Arguments of a program.
extension [String] {
    /// The same with another value of an option that they have.
    func with(_ option: String, _ value: String) -> [String] {
        guard let index = firstIndex(of: option) else { return self + [option, value] }
        return self[...index] + [value] + self[(index + 2)...]
    }
}
