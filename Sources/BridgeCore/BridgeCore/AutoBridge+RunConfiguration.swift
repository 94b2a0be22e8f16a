import Conversion
public import JSONTree
public import Recipes
import TensorRuntime

extension AutoBridge {
    /// `run_config.yaml` of a run: all fields of the recipe and the model.
    ///
    /// - Throws: `BridgeError` when it cannot be written as YAML.
    public func runConfiguration(_ recipe: Recipe) throws -> [UInt8] {
        try RunConfiguration.text(of: model, layout: RankLayout(), recipe: recipe)
    }

    /// What `run_config.yaml` of a run contains.
    public func runSettings(_ recipe: Recipe) -> JSON {
        RunConfiguration.json(of: model, layout: RankLayout(), recipe: recipe)
    }

    /// The name of that file in a checkpoint.
    ///
    /// - Parameter container: The container of the checkpoint.
    /// - Returns: The name.
    public static func runConfigurationName(in container: RunContainer) -> String {
        switch container {
        case .native: RunConfiguration.name
        case .torchDist: RunConfiguration.besideMegatron
        }
    }

    /// The file with the recipe of a run's checkpoint.
    ///
    /// - Parameter directory: The directory of an iteration.
    /// - Returns: Its path; nil for a checkpoint without one, which was converted or which another program trained.
    public static func runConfigurationPath(in directory: String) -> String? {
        let path = RunConfiguration.path(in: directory)
        return RunConfiguration.hasRecipe(path) ? path : nil
    }
}
