public import Recipes

extension AutoBridge {
    /// Checks how this model is divided over ranks.
    ///
    /// - Parameters:
    ///   - recipe: The recipe with the layout.
    ///   - ranks: The number of ranks.
    /// - Returns: The check, which gives the layout and the part of each rank.
    public func layoutCheck(_ recipe: Recipe, ranks: Int) -> LayoutCheck {
        LayoutCheck(recipe, ranks: ranks, decoder: model.provider.decoder)
    }
}
