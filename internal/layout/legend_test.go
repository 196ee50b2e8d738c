package layout

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// testNames are the names of all tests of the module.
func testNames(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The documents that explain the numbers in the names of tests explain all of them, and
// name no test that is not there.
func TestTheLegendExplainsEveryNumberAndNamesTestsThatAreThere(t *testing.T) {
	const root = "../.."
	names := testNames(t, root)
	var legend strings.Builder
	for _, file := range []string{"threat-model.md", "promises.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		legend.Write(text)
	}
	all := "\n" + strings.Join(names, "\n") + "\n"
	for _, m := range regexp.MustCompile("`(Test\\w+)(…?)`").FindAllStringSubmatch(legend.String(), -1) {
		if end := map[string]string{"": "\n", "…": ""}[m[2]]; !strings.Contains(all, "\n"+m[1]+end) {
			t.Errorf("the documents name %s, which is no test", m[1]+m[2])
		}
	}
	for _, name := range names {
		for _, m := range regexp.MustCompile(`(?:^Test|_)([TP])(\d\d)_`).FindAllStringSubmatch(strings.ReplaceAll(name, "_", "__"), -1) {
			n, _ := strconv.Atoi(m[2])
			if row := fmt.Sprintf("\n| %s%d | ", m[1], n); !strings.Contains(legend.String(), row) {
				t.Errorf("no document explains the number of %s", name)
			}
		}
	}
}
