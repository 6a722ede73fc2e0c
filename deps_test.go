package agloop_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/agloop/agloop"

// floors is the house: every package, its floor, and what it may import of the floors
// below. Arrows point down only, never sideways. A new arrow is a change here.
var floors = map[string]struct {
	floor int
	may   string
}{
	"agui":    {0, ""},
	"bufpool": {0, ""},
	"metrics": {0, ""},

	"internal/leaktest": {0, ""},            // of tests only
	"internal/testkit":  {2, "codec/frame"}, // of tests only

	"codec/frame":     {1, "bufpool"},
	"codec/handshake": {1, ""},
	"codec/event":     {1, "agui"},

	"batch":  {1, "bufpool"},
	"memmon": {1, "bufpool"},
	"tune":   {1, ""},

	"metrics/prom": {1, "metrics"}, // the root never imports it

	"loop": {2, "codec/frame codec/handshake batch bufpool memmon metrics tune"},
	"run":  {2, "codec/event agui"},

	".": {3, "loop run codec/frame codec/handshake codec/event batch agui bufpool metrics memmon tune"},

	"server": {4, "."},
	"client": {4, "."},

	"cmd/agloop":   {5, ". server client codec/event agui metrics metrics/prom"},
	"e2e/reencode": {5, "codec/event"},
}

// owners names the packages that may import each foreign module: one, or a program besides.
var owners = map[string]string{
	"github.com/panjf2000/gnet":  "loop",
	"github.com/gobwas/ws":       "codec/frame",
	"github.com/bytedance/sonic": "codec/event codec/frame", // frame: the UTF-8 check alone
	"github.com/prometheus":      "metrics/prom",
	"golang.org/x/sync":          ".",               // the semaphore of decoding
	"golang.org/x/sys":           "loop cmd/agloop", // loop: epoll and TCP_INFO; sends where the scheduler is told
	"golang.org/x/time":          "loop",
}

// TestFloors walks the tree and holds every import against the tables.
func TestFloors(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			_, other := os.Stat(filepath.Join(path, "go.mod"))
			if path != "." && (other == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, path, pkg, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range seen {
		if _, ok := floors[pkg]; !ok {
			t.Errorf("%s stands on no floor: give it one in deps_test.go", pkg)
		}
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("%s has a floor but no files", pkg)
		}
	}
}

func checkImport(t *testing.T, path, pkg, imported string) {
	t.Helper()
	own, ours := strings.CutPrefix(imported, module)
	switch {
	case ours:
		target := strings.TrimPrefix(own, "/")
		if target == "" {
			target = "."
		}
		if !contains(floors[pkg].may, target) {
			t.Errorf("%s: %s may not import %s", path, pkg, imported)
		}
		if floors[target].floor >= floors[pkg].floor {
			t.Errorf("%s: the arrow from %s to %s does not point down", path, pkg, target)
		}
	case strings.Contains(strings.Split(imported, "/")[0], "."):
		for mod, owner := range owners {
			if imported == mod || strings.HasPrefix(imported, mod+"/") {
				if !contains(owner, pkg) {
					t.Errorf("%s: %s belongs to %s alone", path, mod, owner)
				}
				return
			}
		}
		t.Errorf("%s: %s has no owner in deps_test.go", path, imported)
	}
}

func contains(list, name string) bool {
	for _, f := range strings.Fields(list) {
		if f == name {
			return true
		}
	}
	return false
}

// TestDoorways holds server and client to aliases, constants and functions that
// only return.
func TestDoorways(t *testing.T) {
	for _, pkg := range []string{"server", "client"} {
		files, err := filepath.Glob(pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(pkg, files, err)
		}
		for _, path := range files {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for n, line := range strings.Split(string(src), "\n") {
				for _, bad := range []string{"struct {", "interface {", "if ", "for ", "go "} {
					if strings.Contains(strings.SplitN(line, "//", 2)[0], bad) && !strings.HasSuffix(path, "_test.go") {
						t.Errorf("%s:%d: a doorway holds aliases and one-line functions only", path, n+1)
					}
				}
			}
		}
	}
}
