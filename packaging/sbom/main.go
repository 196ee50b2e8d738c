// Command sbom prints the parts of a built Go program as a CycloneDX 1.6 document: what the
// linker wrote into it, and nothing that somebody has to keep up to date. The same program
// gives the same document.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// document is what CycloneDX calls a bom.
type document struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func main() {
	name := flag.String("name", "", "the program's name")
	version := flag.String("version", "", "the program's version")
	flag.Parse()
	if flag.NArg() != 1 || *name == "" || *version == "" {
		fmt.Fprintln(os.Stderr, "usage: sbom -name NAME -version VERSION PROGRAM")
		os.Exit(2)
	}
	if err := write(os.Stdout, flag.Arg(0), *name, *version); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write prints the document of the program at path.
func write(w io.Writer, path, name, version string) error {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(documentOf(info, sha256.Sum256(text), name, version))
}

func documentOf(info *debug.BuildInfo, sum [32]byte, name, version string) document {
	main := component{
		Type: "application", Ref: name, Name: name, Version: version, PURL: purl(info.Main.Path, "v"+version),
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Properties: settingsOf(info),
	}
	d := document{Format: "CycloneDX", Spec: "1.6", Serial: serial(sum), Version: 1, Metadata: metadata{main}}
	d.Components = append(d.Components, component{
		Type: "library", Ref: purl("std", info.GoVersion), Name: "std", Version: info.GoVersion, PURL: purl("std", strings.TrimPrefix(info.GoVersion, "go")),
	})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		d.Components = append(d.Components, libraryOf(m))
	}
	all := dependency{Ref: name}
	for _, c := range d.Components {
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	d.Dependencies = []dependency{all}
	return d
}

// libraryOf is a module. Its hash in go.sum is over a list of files (golang.org/x/mod
// dirhash), so it is no hash of the component in the sense of CycloneDX.
func libraryOf(m *debug.Module) component {
	c := component{Type: "library", Ref: purl(m.Path, m.Version), Name: m.Path, Version: m.Version, PURL: purl(m.Path, m.Version)}
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if b, err := base64.StdEncoding.DecodeString(sum); err == nil {
			c.Properties = []property{{"postern:go.sum", hex.EncodeToString(b)}}
		}
	}
	return c
}

// settingsOf are those by which somebody else gets the same bytes.
func settingsOf(info *debug.BuildInfo) []property {
	var all []property
	for _, s := range info.Settings {
		all = append(all, property{"postern:build:" + s.Key, s.Value})
	}
	return all
}

// purl is the package URL of a Go module.
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// serial is a UUID (version 8, RFC 9562) made of the program's hash.
func serial(sum [32]byte) string {
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
