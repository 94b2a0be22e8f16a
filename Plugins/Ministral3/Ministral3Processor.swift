import BridgeCore
import Imaging
import JSONTree
import Tokenizers

/// The processor of Pixtral: images keep their aspect ratio, and every row of features ends in a
/// separate token.
struct Ministral3Processor: ModelProcessor {
    let tokenizer: Tokenizer
    let decoder: DecoderConfiguration
    let imageTokens: ImageTokens?

    /// The maximum height and width of an image.
    private let largest: (height: Int, width: Int)
    /// Whether that is in the tokenizer's file of Mistral's own code, which rounds where transformers truncates.
    private let isOfTokenizer: Bool
    /// The side length of a feature in pixels.
    private let unit: Int
    /// The side length in pixels of the largest image for the tower's positions.
    private let towerSize: Int
    private let filter: ResizeFilter
    let normalization: PixelNormalization
    private let breakToken: String
    /// The token at the end of each row of features.
    let breakTokenID: Int
    private let endToken: String

    // The values of PixtralProcessor and PixtralImageProcessor, transformers 5.23.
    private static let classMean = [0.48145466, 0.4578275, 0.40821073]
    private static let classDeviation = [0.26862954, 0.26130258, 0.27577711]

    init(_ provider: Ministral3Provider, files: ProcessorFiles) throws {
        tokenizer = files.tokenizer
        decoder = provider.decoder
        let image = try files.processor.text("image_token", classDefault: "[IMG]")
        breakToken = try files.processor.text("image_break_token", classDefault: "[IMG_BREAK]")
        endToken = try files.processor.text("image_end_token", classDefault: "[IMG_END]")
        breakTokenID = try files.id(ofSpecial: breakToken, role: "the row of an image")
        _ = try files.id(ofSpecial: endToken, role: "the row of an image")
        let id = try files.id(ofSpecial: image, role: "an image")
        guard id == provider.imageTokenID else {
            throw BridgeError(
                .badConfiguration,
                "the tokenizer in \(files.directory) has the id \(id) for \(image), but the placeholder of images in the model is "
                    + "token \(provider.imageTokenID); use files of one model"
            )
        }
        imageTokens = ImageTokens(marker: image, feature: image, featureID: id)

        let tower = provider.vision.tower
        unit = tower.patchSize * provider.spatialMergeSize
        towerSize = tower.imageSize
        if files.processor.exists {
            let patch = try files.processor.integer("patch_size", classDefault: 16)
            let merge = try files.processor.integer("spatial_merge_size", classDefault: 1)
            guard (patch, merge) == (tower.patchSize, provider.spatialMergeSize) else {
                throw BridgeError(
                    .badConfiguration,
                    "\(files.processor.name) has a patch_size of \(patch) and a spatial_merge_size of \(merge), the model "
                        + "\(tower.patchSize) and \(provider.spatialMergeSize); correct the one that is wrong"
                )
            }
        }
        try files.image.checkSteps()
        filter = try files.image.filter(classDefault: .bicubic)
        normalization = try files.image.normalization(
            classMean: Self.classMean,
            classDeviation: Self.classDeviation
        )
        if !files.image.exists, let side = files.tokenizer.largestImageSide {
            (largest, isOfTokenizer) = ((side, side), true)
        } else {
            (largest, isOfTokenizer) = (try Self.largest(files.image, towerSize: towerSize), false)
        }
    }

    /// The size that images are shrunk to: `longest_edge`, else a height and a width.
    private static func largest(_ settings: ProcessorSettings, towerSize: Int) throws -> (height: Int, width: Int) {
        // Without any file there is no class with a default of 1024; the size is that of the tower.
        guard settings.exists else { return (towerSize, towerSize) }
        let edge = try settings.section("size")?.integer("longest_edge", classDefault: 0, in: 0...1 << 20)
        if let edge, edge > 0 { return (edge, edge) }
        if let size = try settings.size("size") { return size }
        guard edge == nil else {
            throw BridgeError(.badConfiguration, "\(settings.name) has a size without longest_edge or height and width")
        }
        return (1024, 1024)
    }

    func prepared(_ image: Image, options: ProcessingOptions) throws -> PreparedImage {
        guard options.panAndScan == nil else {
            throw BridgeError(.badArgument, "this model does not crop images; disable pan-and-scan")
        }
        let (rows, columns) = try grid(of: image)
        let resized = try image.resized(
            width: columns * unit,
            height: rows * unit,
            filter: filter,
            limits: options.imageLimits
        )
        let row = String(repeating: imageTokens?.feature ?? "", count: columns)
        let text = [String](repeating: row, count: rows).joined(separator: breakToken) + endToken
        return PreparedImage(
            passes: [try PixelPlanes(resized, normalization: normalization)],
            text: text,
            featureCount: rows * columns
        )
    }

    /// The rows and columns of features of an image.
    private func grid(of image: Image) throws -> (rows: Int, columns: Int) {
        var (height, width) = (image.height, image.width)
        let ratio = max(Double(height) / Double(largest.height), Double(width) / Double(largest.width))
        if ratio > 1 {
            let rule: FloatingPointRoundingRule = isOfTokenizer ? .toNearestOrEven : .down
            height = Int(saturating: (Double(height) / ratio).rounded(rule))
            width = Int(saturating: (Double(width) / ratio).rounded(rule))
            if isOfTokenizer { (height, width) = (max(height, 1), max(width, 1)) }
        }
        guard height > 0, width > 0 else {
            throw BridgeError(
                .badArgument,
                "an image of \(image.width)x\(image.height) pixels is too narrow: shrunk to \(largest.width)x\(largest.height) "
                    + "it would have no pixels left; crop it"
            )
        }
        let (rows, columns) = ((height - 1) / unit + 1, (width - 1) / unit + 1)
        guard max(rows, columns) * unit <= towerSize else {
            throw BridgeError(
                .badConfiguration,
                "an image of \(image.width)x\(image.height) pixels becomes one of \(columns * unit)x\(rows * unit), and the "
                    + "vision tower has positions for \(towerSize) a side; set longest_edge to \(towerSize / unit * unit)"
            )
        }
        return (rows, columns)
    }
}

extension Ministral3Processor {
    /// Every key of the processor's files.
    static let settings = ProcessorSettings.tables(
        processor: "PixtralProcessor, transformers 5.23",
        image: "PixtralImageProcessor, transformers 5.23",
        SettingsTable.honoured(
            "image_token",
            "image_break_token",
            "image_end_token",
            "patch_size",
            "spatial_merge_size"
        ),
        SettingsTable.noEffect(
            "patch_size",
            because: "the processor overrides it with the size of a feature"
        )
    )
}
