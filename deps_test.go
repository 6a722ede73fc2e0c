package agloop_test

import (
	"go/ast"
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

// floors is the house: every package, its floor, and what it may import of the floors below. Arrows
// point down only, never sideways. A new arrow is a change here.
var floors = map[string]struct {
	floor int
	may   string
}{
	"agui":    {0, ""},
	"auth":    {0, ""},
	"bufpool": {0, ""},
	"metrics": {0, ""},

	"internal/platform":         {0, ""},
	"codec/eventpb/internal/pb": {0, ""},            // of tests only
	"internal/leaktest":         {0, ""},            // of tests only
	"internal/testkit":          {2, "codec/frame"}, // of tests only

	"codec/frame":     {1, "bufpool"},
	"codec/handshake": {1, ""},
	"codec/event":     {1, "agui"},
	"codec/control":   {1, ""},
	"codec/deflate":   {1, ""},

	"batch":  {1, "bufpool"},
	"memmon": {1, "bufpool"},
	"tune":   {1, ""},

	"metrics/prom": {1, "metrics"}, // the root never imports it

	"codec/eventpb": {2, "agui codec/event"},

	"topic": {2, "codec/frame metrics"},

	"loop": {2, "auth internal/platform codec/deflate codec/frame codec/handshake batch bufpool memmon metrics tune"},
	"run":  {2, "auth codec/event agui memmon metrics"},

	".": {3, "auth loop run topic codec/frame codec/handshake codec/event codec/eventpb codec/control batch agui bufpool metrics memmon tune"},

	"server": {4, "."},
	"client": {4, "."},

	"run/storetest":  {4, "run"}, // for tests of who writes a Store
	"aguitest":       {3, "auth codec/event agui run"},
	"answer":         {3, "agui run"},
	"aguitest/serve": {4, ". agui aguitest"},

	"cmd/agloop":   {5, ". server client codec/event agui metrics metrics/prom"},
	"e2e/deflated": {5, "server"},
	"e2e/judge":    {5, "agui codec/event"},
	"e2e/proxied":  {5, "server"},
	"e2e/reencode": {5, "codec/event"},
	"e2e/reduce":   {5, "agui codec/event run memmon"},
	"e2e/scripted": {5, "server codec/event"},
	"e2e/storm":    {5, "server client agui codec/event"},
}

// owners names the packages that may import each foreign module: one, or a program besides.
var owners = map[string]string{
	"github.com/panjf2000/gnet":     "loop",
	"github.com/gobwas/ws":          "codec/frame",
	"github.com/bytedance/sonic":    "codec/event codec/frame", // frame: the UTF-8 check alone
	"github.com/evanphx/json-patch": "agui",
	"github.com/klauspost/compress": "codec/deflate",
	"github.com/prometheus":         "metrics/prom",
	"github.com/tmaxmax/go-sse":     ".",                                       // reads streams of SSE
	"google.golang.org/protobuf":    "codec/eventpb codec/eventpb/internal/pb", // the former: the wire format alone
	"golang.org/x/sync":             ".",                                       // the semaphore of decoding
	"golang.org/x/sys":              "loop cmd/agloop",                         // loop: epoll and TCP_INFO; sends where the scheduler is told
	"golang.org/x/time":             "loop",
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

// TestDoorways holds server and client to names of the root: aliases, constants, variables, and
// functions that return one call. That each name exists in the root is the compiler's to check.
func TestDoorways(t *testing.T) {
	for _, pkg := range []string{"server", "client"} {
		files, err := filepath.Glob(pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(pkg, files, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range doorwayFaults(f) {
				t.Errorf("%s: %s", fset.Position(fault.pos), fault.reason)
			}
		}
	}
}

func TestDoorwayFaults(t *testing.T) {
	for _, tc := range []struct{ name, src, fault string }{
		{"alias", "type Server = agloop.Server", ""},
		{"aliases", "type (\n\tA = agloop.A\n\tB = agloop.B\n)", ""},
		{"constant", "const Text = agloop.Text", ""},
		{"variable", "var ErrA, ErrB = agloop.ErrA, agloop.ErrB", ""},
		{"function", "func New(c Config) *Server { return agloop.NewServer(c) }", ""},
		{"function of two results", "func Dial(u string) (*C, error) { return agloop.Dial(u) }", ""},

		{"defined type", "type Server agloop.Server", "Server is no alias of a name of agloop"},
		{"struct", "type Config struct{ A int }", "Config is no alias of a name of agloop"},
		{"alias of a struct", "type Config = struct{ A int }", "Config is no alias of a name of agloop"},
		{"alias of a pointer", "type P = *agloop.Server", "P is no alias of a name of agloop"},
		{"alias of another package", "type L = loop.Limits", "L is no alias of a name of agloop"},
		{"generic alias", "type S[T any] = agloop.S", "S is no alias of a name of agloop"},
		{"literal", "const Size = 64", "Size is no name of agloop"},
		{"expression", "const Big = agloop.Size * 2", "Big is no name of agloop"},
		{"iota", "const (\n\tA = agloop.A\n\tB\n)", "B is no name of agloop"},
		{"call", "var Default = agloop.New()", "Default is no name of agloop"},
		{"zero variable", "var count int", "count is no name of agloop"},
		{"typed variable", "var Err error = agloop.Err", "Err is no name of agloop"},
		{"method", "func (s *T) Close() error { return agloop.Close(s) }", "Close must only return one call of agloop"},
		{"two statements", "func New() *S { s := agloop.NewServer(); return s }", "New must only return one call of agloop"},
		{"no result", "func Close() { agloop.Close() }", "Close must only return one call of agloop"},
		{"two calls", "func F() (A, B) { return agloop.A(), agloop.B() }", "F must only return one call of agloop"},
		{"own call", "func New() *S { return newServer() }", "New must only return one call of agloop"},
		{"work in an argument", "func New(a int) *S { return agloop.NewServer(a + 1) }", "New must only return one call of agloop"},
		{"no body", "func New() *S", "New must only return one call of agloop"},
		{"init", "func init() {}", "init must only return one call of agloop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := parser.ParseFile(token.NewFileSet(), "door.go", "package door\n"+tc.src, 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, fault := range doorwayFaults(f) {
				got = append(got, fault.reason)
			}
			if strings.Join(got, "; ") != tc.fault {
				t.Errorf("%s: %q, want %q", tc.src, got, tc.fault)
			}
		})
	}
}

type doorwayFault struct {
	pos    token.Pos
	reason string
}

// doorwayFaults lists the declarations that are more than a name of the root.
func doorwayFaults(f *ast.File) (faults []doorwayFault) {
	fail := func(name *ast.Ident, reason string) {
		faults = append(faults, doorwayFault{name.Pos(), name.Name + " " + reason})
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil || !returnsCall(d.Body) {
				fail(d.Name, "must only return one call of agloop")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if !s.Assign.IsValid() || s.TypeParams != nil || !ofRoot(s.Type) {
						fail(s.Name, "is no alias of a name of agloop")
					}
				case *ast.ValueSpec:
					for i, name := range s.Names {
						if s.Type != nil || len(s.Values) != len(s.Names) || !ofRoot(s.Values[i]) {
							fail(name, "is no name of agloop")
						}
					}
				}
			}
		}
	}
	return faults
}

// returnsCall reports whether body returns one call of the root with names for arguments.
func returnsCall(body *ast.BlockStmt) bool {
	if body == nil || len(body.List) != 1 {
		return false
	}
	ret, ok := body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return false
	}
	call, ok := ret.Results[0].(*ast.CallExpr)
	if !ok || !ofRoot(call.Fun) {
		return false
	}
	for _, arg := range call.Args {
		if _, ok := arg.(*ast.Ident); !ok {
			return false
		}
	}
	return true
}

// ofRoot reports whether e is agloop.Name.
func ofRoot(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "agloop"
}
