import BridgeCore
import Imaging
import JSONTree
import Tokenizers

/// The processor of Gemma 3: every image becomes a square of one size and a fixed number of
/// soft tokens between two special tokens.
struct Gemma3VLProcessor: ModelProcessor {
    let tokenizer: Tokenizer
    let decoder: DecoderConfiguration
    let imageTokens: ImageTokens?
    let cropsImages = true
    let readsTokenTypes = true

    /// The side of an image, in pixels.
    private let side: Int
    private let tokensPerImage: Int
    /// The text of one image for the tower.
    private let sequence: String
    private let filter: ResizeFilter
    let normalization: PixelNormalization

    init(_ provider: Gemma3VLProvider, files: ProcessorFiles) throws {
        tokenizer = files.tokenizer
        decoder = provider.decoder
        side = provider.vision.tower.imageSize
        tokensPerImage = provider.tokensPerImage
        func token(_ name: String, _ id: Int) throws -> String {
            guard
                let text = files.tokenizer.settings.specialTokens[name]
                    ?? files.tokenizer.token(of: Int32(clamping: id))
            else {
                throw BridgeError(
                    .badConfiguration,
                    "the tokenizer in \(files.directory) has no \(name) and no token \(id), so images cannot be encoded; "
                        + "download the tokenizer's files again"
                )
            }
            let known = try files.id(ofSpecial: text, role: "an image")
            guard known == id else {
                throw BridgeError(
                    .badConfiguration,
                    "the tokenizer in \(files.directory) has the id \(known) for \(text), but the model expects \(id); "
                        + "use files of one model"
                )
            }
            return text
        }
        let begin = try token("boi_token", provider.beginOfImageTokenID)
        let end = try token("eoi_token", provider.endOfImageTokenID)
        let soft = try token("image_token", provider.imageTokenID)
        imageTokens = ImageTokens(marker: begin, feature: soft, featureID: provider.imageTokenID)
        sequence = "\n\n\(begin)\(String(repeating: soft, count: tokensPerImage))\(end)\n\n"

        // Class defaults of Gemma3Processor and Gemma3ImageProcessor, transformers 5.23.
        let count = try files.processor.integer(
            "image_seq_length",
            classDefault: files.processor.exists ? 256 : tokensPerImage
        )
        guard count == tokensPerImage else {
            throw BridgeError(
                .badConfiguration,
                "\(files.processor.name) has an image_seq_length of \(count), the model \(tokensPerImage) tokens per image; "
                    + "correct the wrong one"
            )
        }
        try files.image.checkSteps()
        let size = try files.image.size("size") ?? (files.image.exists ? (224, 224) : (side, side))
        guard size == (side, side) else {
            throw BridgeError(
                .badConfiguration,
                "\(files.image.name) makes images of \(size.width)x\(size.height) pixels, and the vision tower has positions "
                    + "for \(side)x\(side) only"
            )
        }
        filter = try files.image.filter(classDefault: .bilinear)
        normalization = try files.image.normalization(
            classMean: [0.5, 0.5, 0.5],
            classDeviation: [0.5, 0.5, 0.5]
        )
    }

    func prepared(_ image: Image, options: ProcessingOptions) throws -> PreparedImage {
        let crops = try options.panAndScan.map { try self.crops(of: image, $0) } ?? []
        let passes = try ([image] + crops).map { image in
            let resized = try image.resized(width: side, height: side, filter: filter, limits: options.imageLimits)
            return try PixelPlanes(resized, normalization: normalization)
        }
        // The text of Gemma3Processor, which the model was trained with.
        let text =
            crops.isEmpty
            ? sequence
            : "Here is the original image \(sequence) and here are some crops to help you see better "
                + crops.map { _ in sequence }.joined(separator: " ")
        return PreparedImage(passes: passes, text: text, featureCount: passes.count * tokensPerImage)
    }

    /// The pieces of a long image, none of one that is nearly square or would fall into pieces too small.
    ///
    /// As in transformers 5.23, `do_pan_and_scan` in the model's files has no effect: its processor uses whole images
    /// unless the caller enables pan-and-scan.
    private func crops(of image: Image, _ options: PanAndScan) throws -> [Image] {
        guard options.smallestSide > 0, options.mostCrops > 0, options.smallestRatio > 0 else {
            throw BridgeError(
                .badArgument,
                "pan-and-scan has a smallest side of \(options.smallestSide), \(options.mostCrops) crops at most and a ratio of "
                    + "\(options.smallestRatio); each has to be more than 0"
            )
        }
        let (long, short) = (max(image.width, image.height), min(image.width, image.height))
        let ratio = Double(long) / Double(short)
        guard ratio >= options.smallestRatio else { return [] }
        let wanted = min(long / options.smallestSide, Int(saturating: (ratio + 0.5).rounded(.down)))
        let count = min(options.mostCrops, max(2, wanted))
        let length = (long + count - 1) / count
        guard min(length, short) >= options.smallestSide else { return [] }
        let isWide = image.width >= image.height
        return try (0..<count).map { index in
            try image.cropped(
                x: isWide ? index * length : 0,
                y: isWide ? 0 : index * length,
                width: isWide ? length : short,
                height: isWide ? short : length
            )
        }
    }
}

extension Gemma3VLProcessor {
    /// Every key of the processor's files.
    static let settings = ProcessorSettings.tables(
        processor: "Gemma3Processor, transformers 5.23",
        image: "Gemma3ImageProcessor, transformers 5.23",
        SettingsTable.honoured("image_seq_length"),
        SettingsTable.noEffect(
            "do_pan_and_scan",
            "pan_and_scan_min_crop_size",
            "pan_and_scan_max_num_crops",
            "pan_and_scan_min_ratio_to_activate",
            because: "the processor uses whole images unless the caller enables pan-and-scan"
        )
    )
}
