import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// How ranks are started, and how a signal ends them.
@Suite(.serialized) struct ParallelStartTests {
    private let ranks: ParallelBench
    private var bench: TrainBench { ranks.bench }

    init() throws { ranks = try ParallelBench() }

    private static let root = ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]

    /// Two ranks of `mpirun`, of which the second one has other arguments.
    private func mpirun(_ one: [String], _ other: [String]? = nil) throws -> BridgeProcess {
        let rest = other.map { [":", "-np", "1", BridgeProcess.executable.path] + $0 } ?? []
        return try BridgeProcess(
            one + rest,
            shell: "exec mpirun --oversubscribe -np \(other == nil ? 2 : 1) \"$@\"",
            environment: Self.root
        )
    }

    @Test(arguments: [["--nproc-per-node", "4"], ["--hostfile", "hosts"]])
    func whatHasNoEffectUnderALauncherIsRefused(_ options: [String]) throws {
        let outcome = try mpirun(ranks.arguments("run", "model.tensor_model_parallel_size=2") + options).wait()
        expect(
            outcome,
            failsWith: 64,
            mentioning: "\(options[0]) has no effect in a rank that mpirun or srun has started"
        )
    }

    @Test(arguments: [
        (["--hostfile", "hosts"], "--hostfile has no effect with --slurm"),
        (["--dry-run"], "remove one of them"), (["--time-limit", "soon"], "--time-limit is 'soon'"),
    ]) func whatAJobCannotHaveIsRefused(_ options: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(ranks.arguments("run") + ["--slurm"] + options).wait()
        expect(outcome, failsWith: 64, mentioning: sentence)
    }

    /// What ssh prints about a host that it has no connection to.
    @Test(arguments: [
        ("ssh: Could not resolve hostname node7: Name or service not known", "Name or service not known"),
        ("ssh: connect to host node7 port 22: Connection refused", "Connection refused"),
        ("Connection to node7 port 22 timed out", "timed out"),
    ]) func aHostWithoutAConnectionIsNamed(_ line: String, _ reason: String) throws {
        var report = LauncherReport { _ in }
        report.read(Data((line + "\n").utf8))
        report.read(Data("ORTE was unable to reliably start one or more daemons.\n".utf8))
        let found = report.finish(status: 1, advice: "the run resumes")
        let error = try #require(found)
        #expect(error.message.hasPrefix("the host node7 of the hostfile cannot be reached: \(reason); "), "\(error)")
    }

    @Test func ranksWithOtherSettingsAreNamedBeforeTheFirstStep() throws {
        let own = ranks.arguments("run", "model.tensor_model_parallel_size=2")
        let outcome = try mpirun(own, own + ["optimizer.lr=0.1", "train.train_iters=7"]).wait()
        expect(
            outcome,
            failsWith: 64,
            mentioning: "rank 1",
            "optimizer.lr: 0.1, on rank 0 0.002",
            "train.train_iters: 7"
        )
        #expect(
            bench.iterations("run").isEmpty && !FileManager.default.fileExists(atPath: ranks.scratch.path("run-log"))
        )
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a file"))
    func ranksWithOtherDataAreNamedBeforeTheFirstStep() throws {
        try bench.write(TrainBench.rows.dropLast() + [TrainBench.row("Say ten.", "ten")], to: "other.jsonl")
        // Rank 1 sees another file at the same path.
        let rows = ranks.scratch.path("rows.jsonl")
        let swap =
            "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then mount --bind '\(ranks.scratch.path("other.jsonl"))' '\(rows)'; fi"
        let outcome = try BridgeProcess(
            ranks.arguments("run", "model.tensor_model_parallel_size=2"),
            shell:
                "exec mpirun --oversubscribe -np 2 unshare -m sh -c \"\(swap.replacing("\"", with: "\\\"").replacing("$", with: "\\$")); exec \\\"\\$@\\\"\" sh \"$@\"",
            environment: Self.root
        ).wait()
        expect(outcome, failsWith: 64, mentioning: "rank 1", rows, "checksum")
    }

    @Test func plainRanksThatAreKilledEndTheRun() throws {
        let run = try mpirun(
            ranks.arguments("run", "model.tensor_model_parallel_size=2", "train.train_iters=1000000")
        )
        try bench.waitForSteps(5, of: "run", by: run)
        kill(try ranks.process(ofRank: 1, of: "run"), SIGKILL)
        let outcome = try run.wait()
        #expect(outcome.status == 137, "\(outcome.errors)")
        #expect(outcome.errors.contains("process rank 1") && outcome.errors.contains("signal 9"), "\(outcome.errors)")
        #expect(!outcome.errors.contains("error: "), "\(outcome.errors)")
    }

    @Test(arguments: [nil, 0, 1]) func aSignalSavesAndEndsTheRun(_ rank: Int?) throws {
        let run = try BridgeProcess(ranks.endless("run", "model.tensor_model_parallel_size=2"))
        try bench.waitForSteps(7, of: "run", by: run)
        kill(try rank.map { try ranks.process(ofRank: $0, of: "run") } ?? run.identifier, SIGTERM)
        let outcome = try run.wait()
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(!outcome.errors.contains("error: "), "\(outcome.errors)")
        if rank == nil {
            let parts = outcome.errors.components(separatedBy: "a second signal ends at once")
            #expect(parts.count == 2, "\(outcome.errors)")
        }
        let done = try bench.log("run").count
        #expect(bench.iterations("run").last == "iter_\(String(format: "%07d", done))")
        #expect(outcome.output.contains("Stopped after step \(done)"), "\(outcome.output)")
    }

    @Test(arguments: [
        ["LOCAL_RANK": "0", "WORLD_SIZE": "2"],
        ["SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"],
    ])
    func processesWithoutAnMPIWorldAreRefused(_ variables: [String: String]) throws {
        let outcome = try BridgeProcess(ranks.arguments("run"), environment: variables).wait()
        let launcher = variables["LOCAL_RANK"] == nil ? "srun without --mpi=pmix" : "torchrun"
        expect(outcome, failsWith: 64, mentioning: launcher, "'srun --mpi=pmix bridge train'", "--nproc-per-node N")
        #expect(bench.iterations("run").isEmpty)
    }

    @Test func theFileForSlurmRunsTheSameCommand() throws {
        let own = ranks.arguments("run", "model.tensor_model_parallel_size=2", "train.global_batch_size=12")
        let job = ["--slurm", "--nodes", "3", "--partition", "long", "--nproc-per-node=4"]
        let outcome = try BridgeProcess(own + job).wait()
        #expect(outcome.status == 0 && outcome.errors.contains("replace ACCOUNT"), "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines.first == "#!/bin/bash")
        for line in ["--nodes=3", "--ntasks-per-node=4", "--partition=long", "--account=ACCOUNT", "--signal=TERM@120"] {
            #expect(lines.contains("#SBATCH \(line)"), "\(outcome.output)")
        }
        let command = try #require(lines.last { $0.hasPrefix("srun --mpi=pmix") })
        #expect(command.hasSuffix(" \"$BRIDGE\" \(own.joined(separator: " "))"), "\(command)")
        let program = BridgeProcess.executable.resolvingSymlinksInPath().path
        #expect(lines.contains("BRIDGE=${BRIDGE:-\(program)}"), "\(lines)")
        let shell = try BridgeProcess(
            [],
            shell: "printf '%s' \"$FILE\" | bash -n",
            environment: ["FILE": outcome.output]
        )
        #expect(try shell.wait().status == 0)
        expect(try BridgeProcess(own + ["--nodes", "2"]).wait(), failsWith: 64, mentioning: "--nodes has no effect")
        // 3 x 7 ranks are not a multiple of 2.
        let other = try BridgeProcess(own + ["--slurm", "--nodes", "3", "--nproc-per-node", "7"]).wait()
        expect(other, failsWith: 64, mentioning: "does not fit 21 ranks")
        #expect(other.output.isEmpty)
    }

    @Test func aHostfileIsCheckedBeforeTheStart() throws {
        try Data("# none\n\n".utf8).write(to: ranks.scratch.url("empty"))
        for (name, problem) in [("nofile", "does not exist"), ("toy", "is a directory"), ("empty", "names no host")] {
            let options = ["--nproc-per-node", "2", "--hostfile", ranks.scratch.path(name), "--json"]
            let outcome = try BridgeProcess(ranks.arguments("run", "train.micro_batch_size=2") + options).wait()
            expect(outcome, failsWith: 64, mentioning: "--hostfile is \(ranks.scratch.path(name)), which \(problem)")
            let json = try JSON(parsing: Array(outcome.output.utf8))
            #expect(json[path: "error.code"]?.string == "bad_argument")
        }
    }

    /// What mpirun tells of its own failure is shown, since no rank tells anything.
    @Test func aLauncherThatFailsIsQuoted() throws {
        let line = String(repeating: "-", count: 76)
        let words = "\(line) 'There are not enough slots.' '' 'Use a larger host.' \(line)"
        let script = "#!/bin/sh\nprintf '%s\\n' \(words) >&2\nexit 3\n"
        try Data(script.utf8).write(to: ranks.scratch.url("mpirun"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: ranks.scratch.path("mpirun"))
        let outcome = try BridgeProcess(
            ranks.arguments("run", "--nproc-per-node", "2", "--json"),
            environment: ["PATH": "\(ranks.scratch.path("")):/usr/bin:/bin"]
        ).wait()
        expect(outcome, failsWith: 1, mentioning: "mpirun ended with status 3, and no rank has reported why")
        #expect(outcome.errors.contains("  There are not enough slots.\n  Use a larger host.\n"), "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json[path: "error.names"]?.array?.count == 2)
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a file"))
    func anMPIThatCannotBeUsedIsOneMessage() throws {
        let library = BridgeProcess.buildDirectory.appendingPathComponent("libBridgeMPI.so").path
        let outcome = try BridgeProcess(
            ranks.arguments("run", "--nproc-per-node", "2"),
            shell: "exec unshare -m sh -c 'mount --bind /dev/null \"$LIBRARY\" && exec \"$@\"' sh \"$@\"",
            environment: ["LIBRARY": library]
        ).wait()
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 0: ", "needs Open MPI"])
    }

    @Test func aRankThatIsEndedForTheArgumentsOfAnotherIsSilent() throws {
        let own = ranks.arguments("run", "model.tensor_model_parallel_size=2")
        for arguments in [(own, own + ["--unknown"]), (own + ["--unknown"], own)] {
            let outcome = try mpirun(arguments.0, arguments.1).wait()
            let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
            #expect(lines.count == 1 && outcome.sentence.hasPrefix("--unknown is not an option"), "\(outcome.errors)")
        }
    }
}
