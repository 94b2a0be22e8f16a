import BridgeCore
import JSONTree
import Testing

/// The settings of Megatron-Core's `DistributedDataParallelConfig` (0.20): each is honoured, has one value, or is refused.
@Suite struct DataParallelSettingTests {
    private func recipe(_ arguments: String...) throws -> Recipe {
        var recipe = Recipe(name: "a")
        try recipe.apply(arguments)
        return recipe
    }

    /// Defaults: `overlap_grad_reduce: bool = False`, `overlap_param_gather: bool = False`, `bucket_size: Optional[int] =
    /// None`, `check_for_nan_in_grad: bool = False`; `max(40000000, 1000000 * dp_size)` for a bucket.
    @Test func defaultsAreThoseOfMegatronCore() {
        let section = Recipe.DDPSection()
        #expect(!section.overlapGradReduce && !section.overlapParamGather && !section.checkForNanInGrad)
        #expect(section.bucketSize == nil)
        #expect(section.bucketSize(ranks: 2) == 40_000_000 && section.bucketSize(ranks: 64) == 64_000_000)
    }

    @Test func settingsThatMeanSomethingAreRead() throws {
        let section = try recipe(
            "ddp.overlap_grad_reduce=true",
            "ddp.overlap_param_gather=true",
            "ddp.bucket_size=12345",
            "ddp.check_for_nan_in_grad=true"
        ).ddp
        #expect(section.overlapGradReduce && section.overlapParamGather && section.checkForNanInGrad)
        #expect(section.bucketSize(ranks: 64) == 12345)
        #expect(try !recipe("ddp.use_distributed_optimizer=false").optimizer.useDistributedOptimizer)
        #expect(try recipe("optimizer.overlap_param_gather=true").ddp.overlapParamGather)
        let other = try recipe(
            "comm_overlap.overlap_grad_reduce=true",
            "comm_overlap.overlap_param_gather=true",
            "comm_overlap.bucket_size=99"
        ).ddp
        #expect(other.overlapGradReduce && other.overlapParamGather && other.bucketSize == 99)
    }

    @Test(arguments: [
        ("ddp.grad_reduce_in_fp32", "true", "false", "always summed in float32"),
        ("ddp.average_in_collective", "false", "true", "divided in the step of the optimizer"),
        ("ddp.check_for_large_grads", "false", "true", "optimizer.clip_grad"),
        ("ddp.align_param_gather", "false", "true", "each pipeline stage gathers"),
        ("ddp.num_buckets", "null", "4", "set ddp.bucket_size"),
        ("ddp.num_distributed_optimizer_instances", "1", "2", "shared by all ranks"),
        ("ddp.pad_buckets_for_high_nccl_busbw", "false", "true", "NCCL is not used"),
        ("ddp.gradient_reduce_div_fusion", "true", "false", "divided in the step of the optimizer"),
        ("ddp.data_parallel_sharding_strategy", "no_shard", "optim", "FSDP is not supported"),
        ("ddp.outer_dp_sharding_strategy", "no_shard", "optim", "FSDP is not supported"),
        ("ddp.use_megatron_fsdp", "false", "true", "FSDP is not supported"),
        ("ddp.use_custom_fsdp", "false", "true", "FSDP is not supported"),
        ("ddp.fp8_param_gather", "false", "true", "in the type of the forward pass"),
        ("optimizer.overlap_param_gather_with_optimizer_step", "false", "true", "set ddp.overlap_param_gather"),
        ("comm_overlap.overlap_param_gather_with_optimizer_step", "false", "true", "set ddp.overlap_param_gather"),
        ("comm_overlap.align_param_gather", "false", "true", "see ddp.overlap_grad_reduce"),
        ("comm_overlap.tp_comm_overlap", "false", "true", "see ddp.overlap_grad_reduce"),
        ("comm_overlap.overlap_p2p_comm", "false", "true", "see ddp.overlap_grad_reduce"),
        ("train.exit_signal_handler", "true", "false", "always save and exit"),
        ("checkpoint.save_rng", "true", "false", "is always saved"),
        ("checkpoint.fully_parallel_save", "true", "false", "writes its own part"),
        ("checkpoint.exit_on_missing_checkpoint", "true", "false", "is always an error"),
        ("checkpoint.replication", "false", "true", "which all hosts share"),
        ("dataset.persistent_workers", "true", "false", "always persist"),
        ("dataset.data_sharding", "true", "false", "reads its own samples"),
        ("model.tp_comm_overlap", "false", "true", "does not overlap"),
        ("model.microbatch_group_size_per_vp_stage", "null", "4", "model.pipeline_model_parallel_size"),
        ("optimizer.optimizer_cpu_offload", "false", "true", "in the memory of the processors"),
        ("mixed_precision.grad_reduce_in_fp32", "true", "false", "always summed in float32"),
    ])
    func theOnlyValueIsAcceptedAndAnotherHasItsReason(
        _ key: String,
        _ accepted: String,
        _ refused: String,
        _ reason: String
    ) throws {
        #expect(try recipe("\(key)=\(accepted)") == Recipe(name: "a"))
        let error = #expect(throws: BridgeError.self) { try recipe("\(key)=\(refused)") }
        #expect(error?.message.hasPrefix("\(key) is not supported: ") == true)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
        let path = key.split(separator: ".")
        #expect(try Recipe(yaml: "\(path[0]):\n  \(path[1]): \(accepted)\n", name: "run.yaml").ddp == .init())
        #expect(throws: BridgeError.self) {
            try Recipe(yaml: "\(path[0]):\n  \(path[1]): \(refused)\n", name: "run.yaml")
        }
    }

    /// Gradients are float32, and so are their sums with either value.
    @Test(arguments: ["true", "false"]) func bothPrecisionsOfReduceScatterAreFloat32(_ value: String) throws {
        #expect(try recipe("ddp.reduce_scatter_with_fp32_accumulation=\(value)") == Recipe(name: "a"))
    }

    @Test func anUnknownSettingOfTheSectionNamesThoseThatExist() {
        let error = #expect(throws: BridgeError.self) { try recipe("ddp.keep_fp8_transpose_cache=true") }
        #expect(error?.message.contains("overlap_grad_reduce, overlap_param_gather, bucket_size") == true)
    }

    @Test func settingsWithoutEffectHaveTheirReason() throws {
        func reasons(_ arguments: String...) throws -> [String] {
            var recipe = Recipe(name: "a")
            try recipe.apply(arguments)
            let keys = Set(arguments.map { String($0.prefix { $0 != "=" }) })
            return recipe.settingsWithoutEffect(among: keys).map(\.problem)
        }
        let bucket = try reasons("ddp.bucket_size=7")
        #expect(bucket.count == 1 && bucket[0].contains("there is one bucket without overlap"))
        #expect(try reasons("ddp.bucket_size=7", "ddp.overlap_grad_reduce=true").isEmpty)
        let gather = try reasons("ddp.overlap_param_gather=true", "optimizer.use_distributed_optimizer=false")
        #expect(gather.count == 1 && gather[0].contains("use_distributed_optimizer is false"))
    }

    @Test func aBucketHasAtLeastOneParameter() throws {
        var recipe = try recipe("ddp.bucket_size=0", "checkpoint.pretrained_checkpoint=m")
        #expect(RecipeCheck(recipe).problems.contains { $0.hasPrefix("ddp.bucket_size is 0") })
        recipe.ddp.bucketSize = 1
        #expect(!RecipeCheck(recipe).problems.contains { $0.hasPrefix("ddp.bucket_size") })
    }
}
