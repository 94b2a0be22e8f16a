/// What has to hold for several sources of samples.
extension RecipeCheck {
    mutating func checkBlend(_ dataset: Recipe.DatasetSection) {
        let weights = dataset.sourceWeights
        require(
            weights.allSatisfy { $0 > 0 && $0 <= 1e12 },
            "\(key: "dataset.source_weights") is \(weights), expected numbers above 0"
        )
        require(
            weights.isEmpty || weights.count == dataset.source.count,
            "\(key: "dataset.source_weights") has \(weights.count) numbers and \(key: "dataset.source") "
                + "\(dataset.source.count) data sets, expected one for each"
        )
        require(
            weights.isEmpty || dataset.blend != .concatenate,
            "\(key: "dataset.source_weights") is set and \(key: "dataset.blend") is concatenate, which takes every sample once; set "
                + "\(key: "dataset.blend")=first_exhausted, all_exhausted or "
                + "all_exhausted_without_replacement"
        )
        if let count = dataset.maxSamples { require("dataset.max_samples", count, in: 1...1 << 40) }
        let single = dataset.datasetType == .hf ? "dataset.path_or_dataset" : "dataset.train_data_path"
        let path = dataset.datasetType == .hf ? dataset.pathOrDataset : dataset.trainDataPath
        require(
            dataset.source.isEmpty || path.isEmpty,
            "\(key: "dataset.source") and \(key: single) are both set; give all data sets in \(key: "dataset.source")"
        )
        require(
            dataset.validationSource.isEmpty || dataset.validDataPath.isEmpty,
            "\(key: "dataset.validation_source") and \(key: "dataset.valid_data_path") are both set; give all files in "
                + "\(key: "dataset.validation_source")"
        )
        require(
            !(dataset.source + dataset.validationSource).contains(""),
            "\(key: dataset.source.contains("") ? "dataset.source" : "dataset.validation_source") has an empty name"
        )
    }
}

/// What has to hold for samples that are packed before the run.
extension RecipeCheck {
    mutating func checkPacking(_ recipe: Recipe, _ abilities: RecipeTemplate.Abilities) {
        let dataset = recipe.dataset
        let size = dataset.packedSequenceSize
        require("dataset.packed_sequence_size", size, in: -1...1 << 24)
        guard dataset.packsAhead else { return }
        require(
            size >= dataset.seqLength,
            "\(key: "dataset.packed_sequence_size") is \(size), less than \(key: "dataset.seq_length"), which is \(dataset.seqLength), but a sample "
                + "has to fit into a row; lower dataset.seq_length and model.seq_length (-sl), or raise dataset.packed_sequence_size"
        )
        require(
            !dataset.packSequencesInBatch,
            "\(key: "dataset.packed_sequence_size") and \(key: "dataset.pack_sequences_in_batch") are both set, but samples are packed once; "
                + "set dataset.pack_sequences_in_batch=false"
        )
        require(
            !recipe.preference.isOn,
            "\(key: "dataset.packed_sequence_size") is \(size), but pairs are not packed; set it to 0"
        )
        require(
            abilities.packsSequences,
            "\(key: "dataset.packed_sequence_size") is \(size), but this family cannot keep the samples of a row apart; set it to 0"
        )
    }
}

/// What has to hold for the roles whose turns are supervised.
extension RecipeCheck {
    mutating func checkRoles(_ recipe: Recipe) {
        let dataset = recipe.dataset
        let known = Recipe.DatasetSection.roles
        let expected = Set(known.values).sorted().joined(separator: ", ")
        let unknown = dataset.rolesToTrain.filter { known[$0] == nil }
        require(
            !dataset.rolesToTrain.isEmpty,
            "\(key: "dataset.roles_to_train") is empty, expected one or more of \(expected)"
        )
        require(
            unknown.isEmpty,
            "\(key: "dataset.roles_to_train") has \(unknown.joined(separator: ", ")), expected roles of conversations: \(expected)"
        )
        require(
            !recipe.preference.isOn || dataset.trainedRoles.isSubset(of: ["assistant"]),
            "\(key: "dataset.roles_to_train") is \(dataset.rolesToTrain.joined(separator: ", ")), but "
                + "\(key: "preference.loss_type")=\(recipe.preference.lossType.rawValue) compares the assistant's answers only; remove it"
        )
    }
}

/// What has to hold for pairs of answers.
extension RecipeCheck {
    mutating func checkPreference(_ recipe: Recipe) {
        let (preference, dataset) = (recipe.preference, recipe.dataset)
        guard preference.isOn else { return }
        let loss = preference.lossType.rawValue
        require(
            preference.beta > 0 && preference.beta.isFinite,
            "\(key: "preference.beta") is \(preference.beta), expected more than 0"
        )
        require(
            preference.labelSmoothing >= 0 && preference.labelSmoothing < 0.5,
            "\(key: "preference.label_smoothing") is \(preference.labelSmoothing), expected 0 or more and less than 0.5"
        )
        require(
            dataset.datasetType != .mock,
            "\(key: "dataset.dataset_type") is mock, which has no pairs of answers for \(key: "preference.loss_type")=\(loss); use preloaded, "
                + "tokenized or hf"
        )
        require(
            !dataset.packSequencesInBatch,
            "\(key: "dataset.pack_sequences_in_batch") is true, but pairs are not packed; set it to false"
        )
        require(
            dataset.lossMode != .full || preference.lossType == .orpo,
            "\(key: "dataset.loss_mode") is full, but \(key: "preference.loss_type")=\(loss) compares answers only; set it to assistant"
        )
    }
}
