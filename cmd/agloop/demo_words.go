package main

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// measures is the result of the measure_text tool.
type measures struct {
	Words   int     `json:"words"`
	Letters int     `json:"letters"`
	Longest string  `json:"longest"`
	Seconds float64 `json:"secondsToReadAloud"`
}

func measure(text string) measures {
	var m measures
	for _, word := range strings.Fields(text) {
		word = strings.TrimFunc(word, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) })
		if word == "" {
			continue
		}
		m.Words++
		for _, r := range word {
			if unicode.IsLetter(r) {
				m.Letters++
			}
		}
		if utf8.RuneCountInString(word) > utf8.RuneCountInString(m.Longest) {
			m.Longest = word
		}
	}
	// People read aloud at about two and a half words a second.
	m.Seconds = float64(m.Words*4) / 10
	return m
}

// reply is the answer to words: it quotes them, says what was measured, adds a remark and explains
// what the page shows.
func reply(words string, m measures) string {
	if m.Words == 0 {
		return "You wrote “" + clip(words, 60) + "”, which has no word in it to talk about. Silence is an answer too, but a short one to stream."
	}
	return fmt.Sprintf("You wrote %s %s\n\n%s\n\n%s",
		quoteSentence(clip(words, 160)), countSentence(m), thought(words, m.Longest),
		"What you are watching is one run of AG-UI. Each of these words left the server as an event of its own, "+
			"in a WebSocket frame of its own; the plan beside it is a state that small patches keep up to date.")
}

// steered is the answer to what somebody says in the middle of an answer. enough says that it asks for
// no more.
func steered(words string) (answer string, enough bool) {
	if mentions(words, "enough", "short", "brief", "stop") {
		return "You said “" + clip(words, 80) + "”, so I leave the rest out.", true
	}
	return "You said “" + clip(words, 80) + "” while I was speaking. I have heard it, and go on: ", false
}

// quoteSentence quotes text at the end of a sentence, with one full stop.
func quoteSentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") ||
		strings.HasSuffix(text, "?") || strings.HasSuffix(text, "…") {
		return "“" + text + "”"
	}
	return "“" + text + "”."
}

func countSentence(m measures) string {
	if m.Words == 1 {
		return fmt.Sprintf("That is a single word of %s, so “%s” carries all the weight.", plural(m.Letters, "letter"), clip(m.Longest, 40))
	}
	return fmt.Sprintf("That is %s, about %.1f seconds if somebody read it aloud, and “%s” is the longest of them.",
		plural(m.Words, "word"), m.Seconds, clip(m.Longest, 40))
}

// thought is a remark about the longest word; the same words get the same remark.
func thought(words, longest string) string {
	w := "“" + clip(longest, 40) + "”"
	if strings.HasSuffix(strings.TrimSpace(words), "?") {
		return pick(words,
			"Before I answer, a question back: what would you do differently tomorrow if you knew all about "+w+"? Good questions are mostly about the decision behind them.",
			"A real model would now weigh what it knows about "+w+". I am a script, so I can only say what a good colleague would: write down what you already suspect, then look for what would prove you wrong.",
		)
	}
	return pick(words,
		"I keep coming back to "+w+". The longest word in a sentence is often the one that could be said more plainly, and saying it plainly is where the thinking happens.",
		"If you had to keep one word only, would it be "+w+"? Shortening a thought is a fine way to find out what it is about.",
		"Say "+w+" slowly and it turns strange. That is what streaming does to text: it gives every word a moment in which it is the newest one.",
	)
}

func pick(seed string, choices ...string) string {
	return choices[hash(seed)%uint32(len(choices))]
}

func hash(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // a hash accepts everything
	return h.Sum32()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// clip shortens text to about n runes, on one line.
func clip(text string, n int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= n {
		return string(runes)
	}
	return strings.TrimSpace(string(runes[:n])) + "…"
}

// booking is the table that a message asks for.
type booking struct {
	party int
	day   string
}

const bookingTime = "19:30"

var (
	partyWords = map[string]int{
		"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
	}
	dayPattern    = regexp.MustCompile(`(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:today|tonight|tomorrow)\b`)
	numberPattern = regexp.MustCompile(`\b\d{1,2}\b`)
)

// parseBooking finds a party and a day in words; two on Friday when there are none.
func parseBooking(words string) booking {
	b := booking{party: 2, day: "Friday"}
	for _, w := range strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if n, ok := partyWords[w]; ok {
			b.party = n
			break
		}
	}
	if n, err := strconv.Atoi(numberPattern.FindString(words)); err == nil && n > 0 {
		b.party = n
	}
	if d := strings.ToLower(dayPattern.FindString(words)); strings.HasSuffix(d, "day") && d != "today" {
		b.day = strings.ToUpper(d[:1]) + d[1:]
	} else if d != "" {
		b.day = d
	}
	return b
}

// String completes "a …" or "the …".
func (b booking) String() string {
	if b.day[0] >= 'a' { // today, tonight, tomorrow
		return fmt.Sprintf("table for %d %s at %s", b.party, b.day, bookingTime)
	}
	return fmt.Sprintf("table for %d on %s at %s", b.party, b.day, bookingTime)
}

func (b booking) wish() map[string]any {
	return map[string]any{"party": b.party, "day": b.day}
}

func (b booking) offer() map[string]any {
	return map[string]any{"free": []string{"18:00", bookingTime, "21:15"}, "chosen": bookingTime}
}

func (b booking) order() map[string]any {
	return map[string]any{"party": b.party, "day": b.day, "time": bookingTime}
}

func (b booking) receipt(runID string) map[string]any {
	return map[string]any{"status": "booked", "reference": reference(runID)}
}

// reference is a short code that depends on the run.
func reference(runID string) string { return fmt.Sprintf("T-%04d", hash(runID)%10000) }
