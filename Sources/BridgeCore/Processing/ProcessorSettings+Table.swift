import JSONTree
public import ModelSchema

extension ProcessorSettings {
    /// The keys of a processor's two files.
    ///
    /// - Parameters:
    ///   - processor: The processor's class, with its version.
    ///   - image: The image processor's class, with its version.
    ///   - own: The processor's own keys.
    ///   - ownImage: The image processor's own keys.
    /// - Returns: The tables of `processor_config.json` and `preprocessor_config.json`.
    public static func tables(
        processor: String,
        image: String,
        _ own: [Setting],
        _ ownImage: [Setting]
    ) -> [SettingsTable] {
        let images = ownImage + common
        return [
            SettingsTable(file: "processor_config.json", source: processor) {
                own
                SettingsTable.noEffect("processor_class", "auto_map", because: classReason)
                SettingsTable.honoured("chat_template")
                SettingsTable.noEffect("audio_tokenizer", because: "the models have no audio input")
                images.map { Setting("image_processor.\($0.key)", $0.verdict) }
            },
            SettingsTable(file: "preprocessor_config.json", source: image) {
                images
                SettingsTable.noEffect("num_additional_image_tokens", because: "the class does not read it")
            },
        ]
    }

    private static let classReason = "the model's family decides how images are processed"

    /// The keys that every image processor of transformers has: `ImagesKwargs` in `processing_utils.py`, transformers 5.23.
    private static var common: [Setting] {
        ProcessorSettings.required.flatMap { SettingsTable.honoured($0) }
            + ProcessorSettings.steps.map {
                SettingsTable.only($0, [true], "the tower needs it, and null skips it as false does")
            }
            + [SettingsTable.only("do_center_crop", [false, nil], "images are not cropped")]
            + SettingsTable.noEffect("crop_size", because: "images are not cropped")
            + SettingsTable.noEffect(
                "do_convert_rgb",
                because: "the tower has three channels, so images are always converted"
            )
            + SettingsTable.noEffect(
                "do_pad",
                "pad_size",
                because: "images are not padded to one size, and the tower ignores padding"
            )
            + [SettingsTable.only("data_format", ["channels_first", nil], "the tower takes channels first")]
            + SettingsTable.noEffect(
                "default_to_square",
                "input_data_format",
                "device",
                "return_tensors",
                "disable_grouping",
                "image_seq_length",
                "_valid_processor_keys",
                because: "selects an implementation; results do not change"
            )
            + SettingsTable.noEffect(
                "image_processor_type",
                "feature_extractor_type",
                "processor_class",
                "auto_map",
                because: classReason
            )
    }
}
