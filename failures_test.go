package agloop_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFailuresAreTested: each test that docs/failures.md names is there, and each row names one.
func TestFailuresAreTested(t *testing.T) {
	doc, err := os.ReadFile("docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte // all of them
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var b []byte
			b, err = os.ReadFile(path)
			tests = append(tests, b...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for line := range strings.Lines(string(doc)) {
		names := name.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && len(names) == 0 && !strings.HasSuffix(line, "| test |\n") {
			t.Errorf("no test holds %s", line)
		}
		for _, n := range names {
			if !bytes.Contains(tests, []byte("\nfunc "+n[1]+"(t *testing.T)")) {
				t.Errorf("there is no %s", n[1])
			}
		}
	}
}
