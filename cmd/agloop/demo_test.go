package main

import (
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/server"
)

func TestMeasure(t *testing.T) {
	for text, want := range map[string]measures{
		"":                        {},
		"…  !? ":                  {},
		"One":                     {1, 3, "One", 0.4},
		"“Größe” matters, surely": {3, 18, "matters", 1.2},
	} {
		if got := measure(text); got != want {
			t.Errorf("measure(%q) = %+v, want %+v", text, got, want)
		}
	}
}

func TestReply(t *testing.T) {
	for _, words := range []string{"hello", "Why?", "!!", strings.Repeat("é", 500), "a b c", "\xff broken"} {
		got := reply(words, measure(words))
		if !strings.Contains(got, clip(words, 60)[:1]) || utf8.RuneCountInString(got) > 1200 {
			t.Errorf("reply(%q) = %q", words, got)
		}
	}
	if got := reply("Why?", measure("Why?")); !strings.HasPrefix(got, "You wrote “Why?” That") {
		t.Errorf("a quoted sentence ends twice: %q", got)
	}
}

func TestParseBooking(t *testing.T) {
	for words, want := range map[string]booking{
		"book something":                    {2, "Friday"},
		"Book a table for FOUR on thursday": {4, "Thursday"},
		"reserve for 12, tomorrow":          {12, "tomorrow"},
		"book for two tonight":              {2, "tonight"},
		"book for someone, today":           {2, "today"},
		"book for 0":                        {2, "Friday"},
	} {
		if got := parseBooking(words); got != want {
			t.Errorf("parseBooking(%q) = %+v, want %+v", words, got, want)
		}
	}
}

func TestSteered(t *testing.T) {
	for words, want := range map[string]bool{"louder": false, "That is ENOUGH": true, "shorter, please": true, "": false} {
		answer, enough := steered(words)
		if enough != want || !strings.Contains(answer, "“"+words+"”") {
			t.Errorf("steered(%q) = %q, %v", words, answer, enough)
		}
	}
}

func TestLastWishIsWhatWasAskedToBook(t *testing.T) {
	said := func(role agui.Role, words string) agui.Message {
		return agui.Message{Role: role, Content: &agui.Content{Text: words}}
	}
	thread := []agui.Message{
		said(agui.RoleUser, "Reserve for two"), said(agui.RoleUser, "Book for six on Monday"),
		said(agui.RoleAssistant, "I will book it"), said(agui.RoleUser, "louder"),
	}
	if got := lastWish(thread); got != "Book for six on Monday" {
		t.Errorf("wish: %q", got)
	}
	if got := lastWords(thread); got != "louder" {
		t.Errorf("words: %q", got)
	}
	if got := lastWish(thread[3:]); got != "" {
		t.Errorf("nothing was asked, got %q", got)
	}
}

func TestApproval(t *testing.T) {
	yes := agui.ResumeEntry{Status: agui.ResumeResolved, Payload: json.RawMessage(`{"approved":true}`)}
	for _, tc := range []struct {
		resume []agui.ResumeEntry
		want   bool
	}{
		{[]agui.ResumeEntry{yes}, true},
		{[]agui.ResumeEntry{yes, {Status: agui.ResumeCancelled}}, false},
		{[]agui.ResumeEntry{{Status: agui.ResumeResolved}}, false},
		{[]agui.ResumeEntry{{Status: agui.ResumeResolved, Payload: json.RawMessage(`{"approved":"yes"}`)}}, false},
		{[]agui.ResumeEntry{{Status: agui.ResumeCancelled, Payload: yes.Payload}}, false},
	} {
		if got := approved(tc.resume); got != tc.want {
			t.Errorf("approved(%+v) = %v", tc.resume, got)
		}
	}
}

func TestPieces(t *testing.T) {
	var got []string
	for p := range pieces("grüße, alle", 4) {
		got = append(got, p)
	}
	if strings.Join(got, "|") != "grüß|e, a|lle" {
		t.Errorf("pieces: %q", got)
	}
}

func TestBrowsable(t *testing.T) {
	for _, tc := range []struct {
		ip   net.IP
		want string
	}{
		{net.IPv6zero, "localhost:8080"},
		{net.IPv4zero, "localhost:8080"},
		{net.IPv4(127, 0, 0, 1), "127.0.0.1:8080"},
		{net.IPv6loopback, "[::1]:8080"},
	} {
		if got := browsable(&net.TCPAddr{IP: tc.ip, Port: 8080}); got != tc.want {
			t.Errorf("browsable(%v) = %s, want %s", tc.ip, got, tc.want)
		}
	}
}

func demoGet(t *testing.T, path string) *http.Response {
	t.Helper()
	_, mux := newDemo()
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Result()
}

func TestStatsCountWebSocketsOnly(t *testing.T) {
	var s server.Stats
	s.Connections, s.Opened, s.Closed, s.FramesOut = 9, 5, 2, 7
	if got, want := statsOf(s), (pageStats{Connections: 3, FramesOut: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.Opened, s.Closed = 2, 3 // read while a connection closed
	if got := statsOf(s).Connections; got != 0 {
		t.Errorf("%d connections", got)
	}
}

func TestPageIsServedWhole(t *testing.T) {
	err := fs.WalkDir(page, "page", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, "page")
		if name == "/index.html" {
			name = "/" // where the file server sends everybody
		}
		res := demoGet(t, name)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %s, policy %q", name, res.Status, res.Header.Get("Content-Security-Policy"))
		}
		// Browsers run a module only when its type says so.
		if strings.HasSuffix(name, ".mjs") && !strings.HasPrefix(res.Header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s is %s", name, res.Header.Get("Content-Type"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
