import Conversion
public import Recipes
import TensorRuntime

extension AutoBridge {
    /// `run_config.yaml` of a run: all fields of the recipe and the model.
    ///
    /// - Throws: `BridgeError` when it cannot be written as YAML.
    public func runConfiguration(_ recipe: Recipe) throws -> [UInt8] {
        try RunConfiguration.text(of: model, layout: RankLayout(), recipe: recipe)
    }
}
