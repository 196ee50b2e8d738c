package packaging

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// tested is the version that the tests pack.
const tested = "1.2.3"

// command runs a program that must succeed, and returns what it printed.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.Need(t, name), args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// pack packs the agent of the source tree at root for amd64 and returns the folder.
func pack(t *testing.T, root string, env ...string) string {
	t.Helper()
	needPackers(t)
	tools, out := testenv.Dir(t), testenv.Dir(t)
	command(t, "../internal/tools", []string{"CGO_ENABLED=0"}, "go", "build", "-o", tools, "github.com/goreleaser/nfpm/v2/cmd/nfpm")
	env = append([]string{"VERSION=v" + tested, "NFPM=" + filepath.Join(tools, "nfpm"), "OUT=" + out, "ARCHS=amd64", "FORMATS=deb rpm apk tar rawmsi", "SOURCE_DATE_EPOCH=1780000000"}, env...)
	command(t, root, env, "bash", "packaging/agent/agent.sh")
	return out
}

// needPackers says which program that packs is missing.
func needPackers(t *testing.T) {
	t.Helper()
	for _, program := range []string{"wixl", "msibuild", "git", "perl"} {
		testenv.Need(t, program)
	}
}

// packed is the agent of this tree, packed once for all tests.
var packed = struct {
	once sync.Once
	dir  string
}{}

func packages(t *testing.T) string {
	t.Helper()
	needPackers(t)
	packed.once.Do(func() {
		dir := pack(t, "..")
		kept, err := testenv.ShortDir()
		if err != nil {
			t.Fatal(err)
		}
		testenv.AtEnd(t, func() { _ = os.RemoveAll(kept) })
		if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		packed.dir = kept
	})
	if packed.dir == "" {
		t.Fatal("the packages could not be made; the test that tried first says why")
	}
	return packed.dir
}

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// copied copies the source tree, as git knows it and as it is now, to another place.
func copied(t *testing.T) string {
	t.Helper()
	dir := testenv.Dir(t)
	for name := range strings.SplitSeq(command(t, "..", nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		from := filepath.Join("..", name)
		info, err := os.Lstat(from)
		if name == "" || errors.Is(err, os.ErrNotExist) {
			continue
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, info.Mode().Perm())); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sums are the hashes of a folder's files by name.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, f := range all {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		m[f.Name()] = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	return m
}

func TestTheSameSourceGivesTheSameBytesElsewhereAndLater(t *testing.T) {
	first := sums(t, packages(t))
	second := sums(t, pack(t, copied(t), "TZ=Asia/Tokyo", "LANG=C", "HOSTNAME=elsewhere"))
	for name, sum := range first {
		if second[name] != sum {
			t.Errorf("%s differs", name)
		}
	}
	for _, want := range []string{
		"postern-agent_1.2.3_amd64.deb", "postern-agent_1.2.3_amd64.rpm", "postern-agent_1.2.3_amd64.apk", "postern-agent-1.2.3-linux-amd64.tar.gz",
		"postern-agent-1.2.3-windows-amd64.tar.gz", "postern-agent-1.2.3-amd64-unsigned.msi", "postern-agent-1.2.3-linux-amd64.cdx.json", "postern-agent-checksums.txt",
	} {
		if first[want] == "" || len(first) != len(second) {
			t.Errorf("%s is missing, or more was made: %v", want, first)
		}
	}
}

func TestChecksumsAreOfEveryFile(t *testing.T) {
	dir := packages(t)
	all := sums(t, dir)
	for line := range strings.Lines(read(t, filepath.Join(dir, "postern-agent-checksums.txt"))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if all[name] != sum {
			t.Errorf("%s is listed with %s", name, sum)
		}
		delete(all, name)
	}
	if delete(all, "postern-agent-checksums.txt"); len(all) > 0 {
		t.Errorf("not listed: %v", all)
	}
}

// table is one table of an installer, its rows by their first column.
func table(t *testing.T, msi, name string) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for i, line := range strings.Split(strings.ReplaceAll(command(t, ".", nil, "msiinfo", "export", msi, name), "\r", ""), "\n") {
		if cells := strings.Split(line, "\t"); i > 2 && line != "" {
			rows[cells[0]] = cells[1:]
		}
	}
	return rows
}

// wixl drops and changes things without a word, so what counts is what is in the tables.
func TestTheInstallerForWindowsSaysWhatItShould(t *testing.T) {
	msi := filepath.Join(packages(t), "postern-agent-"+tested+"-amd64-unsigned.msi")
	want := func(tableName, key, pattern string) {
		t.Helper()
		row := strings.Join(table(t, msi, tableName)[key], "|")
		if !regexp.MustCompile("^" + pattern + "$").MatchString(row) {
			t.Errorf("%s, %s: %q, want %s", tableName, key, row, pattern)
		}
	}
	// Deferred (1024), as the system (2048), a program of the package (18); a failure rolls back (no 64).
	want("CustomAction", "SetUp", `3090\|AgentExe\|install --packaged .*--ticket-file "\[TICKETFILE\]" --hub "\[HUB\]"\|`)
	want("CustomAction", "Start", `3090\|AgentExe\|start --if-enrolled .*`)
	want("CustomAction", "Purge", `3090\|AgentExe\|uninstall --packaged --purge .*`)
	want("ServiceInstall", "Service", `PosternAgent\|Postern Agent\|16\|2\|1\|\|Tcpip\[~\]\[~\]\|\[SERVICEACCOUNT\]\|\|run --service --config "\[CommonAppDataFolder\]Postern\\agent.toml"\|Program\|.*`)
	want("ServiceControl", "ServiceEnds", `PosternAgent\|162\|\|1\|Program`) // stop at both, delete at removal, wait
	want("CustomAction", "DefaultAccount", `\d+\|SERVICEACCOUNT\|NT SERVICE\\PosternAgent\|`)
	want("Property", "SecureCustomProperties", `HUB;TICKETFILE;CONFIGFILE;SERVICEACCOUNT;INSTALLDIR;PURGE;WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED`)
	want("Property", "ProductVersion", `1\.2\.3`)
	want("Property", "ALLUSERS", `1`)
	want("LaunchCondition", "NOT WIX_DOWNGRADE_DETECTED", `A newer version .*`)

	order := table(t, msi, "InstallExecuteSequence")
	at := func(action string) (n int) { _, _ = fmt.Sscan(order[action][1], &n); return n }
	inOrder := []string{"AppSearch", "RememberAccount", "RememberDir", "DefaultAccount", "LaunchConditions", "InstallInitialize", "RemoveExistingProducts",
		"ProcessComponents", "StopServices", "DeleteServices", "Purge", "RemoveFiles", "InstallFiles", "WriteRegistryValues", "InstallServices", "SetUp", "Start", "InstallFinalize"}
	for i, action := range inOrder[1:] {
		if at(action) <= at(inOrder[i]) {
			t.Errorf("%s (%d) comes before %s (%d)", action, at(action), inOrder[i], at(inOrder[i]))
		}
	}
	if got := order["Purge"][0]; got != `REMOVE="ALL" AND PURGE AND NOT UPGRADINGPRODUCTCODE` {
		t.Errorf("the state is deleted if %s", got)
	}
	event := `2\|SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\PosternAgent\|EventMessageFile\|\[System64Folder\]EventCreate.exe\|Program`
	found := false
	for _, row := range table(t, msi, "Registry") {
		found = found || regexp.MustCompile("^"+event+"$").MatchString(strings.Join(row, "|"))
	}
	if !found {
		t.Error("the source of events is missing")
	}
}

// Secrets must not stand where others read them: a property reaches the installer's log
// and the process list.
func TestT19_NoPropertyOfTheInstallerIsASecret(t *testing.T) {
	msi := filepath.Join(packages(t), "postern-agent-"+tested+"-amd64-unsigned.msi")
	for _, name := range []string{"Property", "CustomAction", "Registry", "ServiceInstall"} {
		for key, row := range table(t, msi, name) {
			text := strings.ReplaceAll(strings.ToUpper(key+" "+strings.Join(row, " ")), "TICKETFILE", "")
			text = strings.ReplaceAll(text, "--TICKET-FILE", "")
			if regexp.MustCompile(`TICKET|TOKEN|PASSWORD|SECRET`).MatchString(text) {
				t.Errorf("%s: %s %v", name, key, row)
			}
		}
	}
}

// A package for another system has the program of that system.
func TestTarballsHoldTheProgramAndItsDocuments(t *testing.T) {
	for name, wants := range map[string][]string{
		"linux":   {"postern-agent", "postern-agent.service", "agent.toml.sample", "agent.md", "directories.md", "findings.md", "evaluation.md", "LICENSE"},
		"windows": {"postern-agent.exe", "agent.toml.sample", "agent.md", "directories.md", "findings.md", "evaluation.md", "LICENSE"},
	} {
		folder := "postern-agent-" + tested + "-" + name + "-amd64"
		f, err := os.Open(filepath.Join(packages(t), folder+".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		has := map[string]os.FileMode{}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			has[strings.TrimPrefix(h.Name, folder+"/")] = h.FileInfo().Mode()
		}
		for _, want := range wants {
			if mode, ok := has[want]; !ok || mode.Perm()&0o044 != 0o044 {
				t.Errorf("%s: %s is missing or nobody can read it: %v", name, want, has)
			}
		}
	}
}

func TestLinuxPackagesHoldTheUnitAndRefuseNobodyTheConfiguration(t *testing.T) {
	dir := packages(t)
	deb := command(t, dir, nil, "dpkg-deb", "--contents", "postern-agent_"+tested+"_amd64.deb")
	rpm := command(t, dir, nil, "rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", "postern-agent_"+tested+"_amd64.rpm")
	for name, list := range map[string]string{"deb": deb, "rpm": rpm} {
		for _, want := range []string{
			`-rwxr-xr-x.*/usr/bin/postern-agent\n`, `-rw-r--r--.*/usr/lib/systemd/system/postern-agent\.service\n`,
			`drwxr-xr-x.*/etc/postern-agent/?\n`, `drwx------.*/etc/postern-agent/secrets/?\n`,
			`-rw-r--r--.*/usr/share/doc/postern-agent/findings\.md\n`, `-rw-r--r--.*/usr/share/doc/postern-agent/evaluation\.md\n`,
		} {
			if !regexp.MustCompile(want).MatchString(list) {
				t.Errorf("%s lacks %s:\n%s", name, want, list)
			}
		}
	}
	text := command(t, dir, nil, "tar", "-tzf", "postern-agent_"+tested+"_amd64.apk", "--warning=no-unknown-keyword", "--ignore-zeros")
	if !strings.Contains(text, "etc/init.d/postern-agent") || strings.Contains(text, "systemd") {
		t.Errorf("apk: %s", text)
	}
}

func TestTheListOfPartsIsWhatTheLinkerPutIn(t *testing.T) {
	dir := packages(t)
	command(t, dir, nil, "tar", "-xzf", "postern-agent-"+tested+"-linux-amd64.tar.gz")
	program := filepath.Join(dir, "postern-agent-"+tested+"-linux-amd64", "postern-agent")
	defer os.RemoveAll(filepath.Dir(program))
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct {
			Component struct {
				Name, Version string
				Hashes        []struct{ Content string }
			}
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "postern-agent-"+tested+"-linux-amd64.cdx.json"))), &list); err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, c := range list.Components {
		has[c.Name] = c.Version
	}
	for _, m := range info.Deps {
		if has[m.Path] != m.Version {
			t.Errorf("%s %s is listed as %q", m.Path, m.Version, has[m.Path])
		}
	}
	if len(has) != len(info.Deps)+1 || has["std"] != info.GoVersion {
		t.Errorf("%d parts are listed, %d are in it", len(has), len(info.Deps)+1)
	}
	text := read(t, program)
	main := list.Metadata.Component
	if main.Name != "postern-agent" || main.Version != tested || len(main.Hashes) != 1 || main.Hashes[0].Content != fmt.Sprintf("%x", sha256.Sum256([]byte(text))) {
		t.Errorf("%+v", main)
	}
	if list.BOMFormat != "CycloneDX" || list.SpecVersion != "1.6" || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(list.SerialNumber) {
		t.Errorf("%s %s %s", list.BOMFormat, list.SpecVersion, list.SerialNumber)
	}
}
