//! The launcher kit, run for real: each script of `deploy/launchers` with what its system would give it, beside
//! a running gateway, with boto3 as the job.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::gateway::{Ended, World, role};
use crate::parts::long_job::Limits;
use crate::parts::python;

/// Waiting longer is a failure.
const PATIENCE: Duration = Duration::from_mins(1);

const ONCE: Limits = Limits {
    calls: 1,
    duration: Duration::from_mins(1),
    pause: Duration::ZERO,
};

/// Who may not be root: Debian's `nobody`, where the tests run as root.
const NOBODY: u32 = 65534;

fn kit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/launchers")
        .join(name)
}

/// A gateway with `alice` signed in, a launcher's token, and a folder of the job's.
struct Stage {
    world: World,
    launcher: String,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let world = World::start().await;
        world.sign_in().await;
        let launcher = world.launcher().await;
        let folder = tempfile::tempdir().unwrap();
        // Open to whom the scripts become; the program is where they can reach it.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        std::fs::copy(
            env!("CARGO_BIN_EXE_rolegate-agent"),
            folder.path().join("rolegate-agent"),
        )
        .unwrap();
        Self {
            world,
            launcher,
            folder,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn agent(&self) -> String {
        self.at("rolegate-agent").to_str().unwrap().to_owned()
    }

    async fn lease(&self) -> String {
        let (_, lease) = self.world.lease(&self.launcher, "reader").await;
        lease["token"].as_str().unwrap().to_owned()
    }

    /// A command in an environment of its own, with the kit's program in PATH.
    fn command(&self, program: &Path, env: &[(&str, &str)]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("HOME", self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL_STS", self.world.sts.url())
            .envs(env.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

async fn end(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it does not end").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The command line of a job in boto3 that asks once.
fn job() -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/python/job.py");
    let python = python::python();
    [python.as_path(), Path::new("-I"), script.as_path()]
        .map(|part| part.to_str().unwrap().to_owned())
        .into()
}

fn told_arn(ended: Ended) -> String {
    let told: Value = serde_json::from_str(&ended.good()).unwrap();
    told["arn"].as_str().unwrap().to_owned()
}

fn is_alice(arn: &str) -> bool {
    arn.ends_with(":assumed-role/reader/alice")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..1200 {
        ticks.tick().await;
        if holds() {
            return;
        }
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_batch_wrapper_wins_over_the_role_of_the_job() {
    let stage = Stage::set().await;
    let token = stage.lease().await;
    let text = std::fs::read_to_string(kit("aws-batch/job-definition.json")).unwrap();
    let definition: Value = serde_json::from_str(&text).unwrap();
    let container = &definition["containerProperties"];
    let script = kit("aws-batch/rolegate-entrypoint.sh");
    assert_eq!(container["command"][0], "rolegate-entrypoint.sh");
    // The token comes as a secret, and never as a variable that DescribeJobs shows.
    assert_eq!(container["secrets"][0]["name"], "ROLEGATE_LEASE_TOKEN");
    assert!(!container["environment"].to_string().contains("TOKEN"));

    let url = stage.world.gateway.at("");
    // Nothing answers there: an SDK that saw it would fail.
    let mut env = vec![
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "/v2/credentials/of-the-task",
        ),
        ("ROLEGATE_URL", url.as_str()),
        ("ROLEGATE_LEASE_TOKEN", token.as_str()),
    ];
    let arn = told_arn(end(stage.command(&script, &env).args(job())).await);
    assert!(is_alice(&arn), "{arn}");
    let show = "env; exit 7";
    let ended = end(stage.command(&script, &env).args(["sh", "-c", show])).await;
    assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
    assert!(
        ended
            .stdout
            .contains("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:")
    );
    assert!(!ended.stdout.contains("RELATIVE_URI"));
    assert!(!ended.stdout.contains(&token));

    env.pop();
    let ended = end(stage.command(&script, &env).args(job())).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("secrets"), "{}", ended.stderr);
}

/// A Slurm job on one node, by its scripts.
struct Slurm<'a> {
    stage: &'a Stage,
    job: &'a str,
    uid: u32,
    conf: PathBuf,
}

impl<'a> Slurm<'a> {
    fn new(stage: &'a Stage, job: &'a str) -> Self {
        let own = std::fs::metadata("/proc/self").unwrap().uid();
        let conf = stage.at("slurm.conf");
        let token = stage.at("launcher.token");
        std::fs::write(&token, format!("{}\n", stage.launcher)).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o400)).unwrap();
        let lines = [
            ("ROLEGATE_URL", stage.world.gateway.at("")),
            (
                "ROLEGATE_LAUNCHER_TOKEN_FILE",
                token.to_str().unwrap().to_owned(),
            ),
            ("ROLEGATE_RUN", stage.at("run").to_str().unwrap().to_owned()),
            ("ROLEGATE_AGENT", stage.agent()),
        ];
        let lines = lines.map(|(name, value)| format!("{name}={value}\n"));
        std::fs::write(&conf, lines.concat()).unwrap();
        Self {
            stage,
            job,
            uid: if own == 0 { NOBODY } else { own },
            conf,
        }
    }

    async fn run(&self, script: &str, comment: &str) -> String {
        let uid = self.uid.to_string();
        let env = [
            ("ROLEGATE_SLURM_CONF", self.conf.to_str().unwrap()),
            ("SLURM_JOB_ID", self.job),
            ("SLURM_JOB_USER", "alice"),
            ("SLURM_JOB_UID", &uid),
            ("SLURM_JOB_GID", &uid),
            ("SLURM_JOB_COMMENT", comment),
        ];
        let script = kit("slurm").join(script);
        end(&mut self.stage.command(&script, &env)).await.good()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stage.at("run").join(self.job).join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slurm_gives_a_job_its_user_s_role_and_takes_it_back() {
    let stage = Stage::set().await;
    let slurm = Slurm::new(&stage, "4711");
    let comment = format!("rolegate:{}", role("reader"));
    slurm.run("prolog.sh", &comment).await;
    let lines = slurm.run("task-prolog.sh", &comment).await;
    let lease = std::fs::metadata(slurm.file("lease")).unwrap();
    assert_eq!((lease.mode() & 0o777, lease.uid()), (0o400, slurm.uid));
    let exports: Vec<_> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .collect();
    assert_eq!(exports.len(), 2, "{lines}");
    let arguments = job();
    let mut boto3 = stage.command(Path::new(&arguments[0]), &exports);
    let arn = told_arn(end(boto3.args(&arguments[1..])).await);
    assert!(is_alice(&arn), "{arn}");

    let pid = std::fs::read_to_string(slurm.file("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert_eq!(std::fs::metadata(&process).unwrap().uid(), slurm.uid);
    let token = std::fs::read_to_string(slurm.file("lease")).unwrap();
    assert!(stage.world.fetched(&token).await.0.is_success());
    slurm.run("epilog.sh", &comment).await;
    let (_, problem) = stage.world.fetch(&token).await;
    assert_eq!(problem["code"], "revoked", "{problem}");
    assert!(!slurm.file("").exists());
    until("the agent ends", || !process.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slurm_runs_a_job_that_gets_no_role_and_says_why() {
    let stage = Stage::set().await;
    let slurm = Slurm::new(&stage, "4712");
    let comment = format!("rolegate:{}", role("admin"));
    slurm.run("prolog.sh", &comment).await;
    let told = slurm.run("task-prolog.sh", &comment).await;
    assert!(told.starts_with("print rolegate: no lease (403)"), "{told}");
    slurm.run("epilog.sh", &comment).await;
    assert!(!slurm.file("").exists());
    for comment in ["", "of the user's own", "rolegate:arn:aws\",\"user\":\"eve"] {
        slurm.run("prolog.sh", comment).await;
        assert!(!slurm.file("").exists(), "{comment}");
        assert_eq!(slurm.run("task-prolog.sh", comment).await, "");
    }
}

/// A manifest's pod.
async fn pod(name: &str) -> Value {
    let read = "import json,sys,yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let mut command = Command::new(python::python());
    command.args(["-I", "-c", read]).arg(kit(name));
    let manifest: Value = serde_json::from_str(&end(&mut command).await.good()).unwrap();
    assert_eq!(
        (manifest["apiVersion"].as_str(), manifest["kind"].as_str()),
        (Some("batch/v1"), Some("Job"))
    );
    manifest["spec"]["template"]["spec"].clone()
}

impl Stage {
    /// `words`, with the pod's folders, address and images' content as they are here.
    fn here(&self, words: &Value) -> Vec<String> {
        let folder = self.folder.path().to_str().unwrap();
        let pairs = [
            ("/usr/local/bin/", format!("{folder}/")),
            ("/run/rolegate", format!("{folder}/pod")),
            ("https://gate.example.org", self.world.gateway.at("")),
            // Two tests at once would ask for one port.
            ("127.0.0.1:9180", "127.0.0.1:0".to_owned()),
        ];
        let place = |word: &Value| {
            pairs
                .iter()
                .fold(word.as_str().unwrap().to_owned(), |word, (from, to)| {
                    word.replace(from, to)
                })
        };
        words.as_array().unwrap().iter().map(place).collect()
    }

    async fn mount(&self) {
        for folder in ["pod", "pod-lease"] {
            std::fs::create_dir(self.at(folder)).unwrap();
        }
        std::fs::write(self.at("pod-lease/token"), self.lease().await).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_serves_the_pod() {
    let stage = Stage::set().await;
    stage.mount().await;
    let pod = pod("kubernetes/job-sidecar.yaml").await;
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always");
    let words = stage.here(&sidecar["command"]);
    let mut agent = stage
        .command(Path::new(&words[0]), &[])
        .args(&words[1..])
        .spawn()
        .unwrap();
    let probe = stage.here(&sidecar["startupProbe"]["exec"]["command"]);
    until("the probe succeeds", || {
        let probe = std::process::Command::new(&probe[0])
            .args(&probe[1..])
            .status();
        probe.unwrap().success()
    })
    .await;
    // The address that the job's container is told, but for the port, is what the agent says.
    let told = std::fs::read_to_string(stage.at("pod/environment")).unwrap();
    let uri = told
        .lines()
        .find_map(|line| line.strip_prefix("export AWS_CONTAINER_CREDENTIALS_FULL_URI="));
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| {
        let given = env.iter().find(|given| given["name"] == name);
        given.unwrap()["value"].as_str().unwrap()
    };
    let path = |uri: &str| {
        uri.rsplit_once(':')
            .unwrap()
            .1
            .split_once('/')
            .unwrap()
            .1
            .to_owned()
    };
    let uri = uri.unwrap();
    assert_eq!(path(uri), path(value("AWS_CONTAINER_CREDENTIALS_FULL_URI")));
    let file = value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let file = file.replace("/run/rolegate", stage.at("pod").to_str().unwrap());
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.as_str()),
    ];
    let arguments = job();
    let mut boto3 = stage.command(Path::new(&arguments[0]), &env);
    let arn = told_arn(end(boto3.args(&arguments[1..])).await);
    assert!(is_alice(&arn), "{arn}");
    agent.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_init_container_brings_the_agent_into_any_image() {
    let stage = Stage::set().await;
    stage.mount().await;
    let pod = pod("kubernetes/job-init.yaml").await;
    let words = stage.here(&pod["initContainers"][0]["command"]);
    end(stage.command(Path::new(&words[0]), &[]).args(&words[1..]))
        .await
        .good();
    let mut words = stage.here(&pod["containers"][0]["command"]);
    let end_of_ours = words.iter().position(|word| word == "--").unwrap();
    words.truncate(end_of_ours + 1);
    words.extend(job());
    let arn = told_arn(end(stage.command(Path::new(&words[0]), &[]).args(&words[1..])).await);
    assert!(is_alice(&arn), "{arn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_of_the_workflows_gives_credentials() {
    let stage = Stage::set().await;
    let token = stage.lease().await;
    let url = stage.world.gateway.at("");
    let path = format!(
        "{}:{}",
        stage.folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    for workflow in ["nextflow", "snakemake"] {
        let config = kit(workflow).join("aws-config");
        let env = [
            ("PATH", path.as_str()),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
            ("AWS_PROFILE", "rolegate"),
            ("AWS_ENDPOINT_URL_STS", stage.world.sts.url()),
            ("ROLEGATE_URL", &url),
            ("ROLEGATE_LEASE_TOKEN", &token),
        ];
        for start in [
            python::long_job,
            python::cli_job,
            crate::parts::node::long_job,
        ] {
            let ended = start(ONCE, &env).end().await;
            assert_eq!(ended.code, Some(0), "{workflow} {ended:?}");
            assert!(is_alice(ended.calls[0].arn()));
        }
    }
    // Every variable that the profile needs is one that the tasks are given.
    let nextflow = std::fs::read_to_string(kit("nextflow/nextflow.config")).unwrap();
    let snakemake = std::fs::read_to_string(kit("snakemake/config.yaml")).unwrap();
    for name in ["AWS_CONFIG_FILE", "AWS_PROFILE"] {
        assert!(nextflow.contains(&format!("{name} = ")), "{name}");
        assert!(snakemake.contains(&format!("- {name}\n")), "{name}");
    }
    let direct = ["exec", "--"].map(str::to_owned);
    assert!(snakemake.contains("rolegate-agent exec -- snakemake"));
    let env = [
        ("ROLEGATE_URL", url.as_str()),
        ("ROLEGATE_LEASE_TOKEN", &token),
    ];
    let mut command = stage.command(Path::new(&stage.agent()), &env);
    let arn = told_arn(end(command.args(direct).args(job())).await);
    assert!(is_alice(&arn), "{arn}");
}
