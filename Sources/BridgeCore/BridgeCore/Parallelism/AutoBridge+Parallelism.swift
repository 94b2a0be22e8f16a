public import Recipes

extension AutoBridge {
    /// Checks how this model is divided over ranks.
    ///
    /// - Parameters:
    ///   - recipe: The recipe with the layout.
    ///   - ranks: The number of ranks.
    ///   - dividesData: Whether ranks may also divide sequences and batches.
    /// - Returns: The check, which gives the layout and the part of each rank.
    public func layoutCheck(_ recipe: Recipe, ranks: Int, dividesData: Bool = true) -> LayoutCheck {
        LayoutCheck(recipe, ranks: ranks, decoder: model.provider.decoder, dividesData: dividesData)
    }
}
