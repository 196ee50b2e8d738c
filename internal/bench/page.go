package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// pageCrowd are the numbers of visitors at once.
var pageCrowd = []int{1, 16}

// pageGoal is the part of Caddy's own speed that the page reaches at least.
const pageGoal = 0.8

// measurePage asks for the first page as browsers do that come for the first time, with
// an agent connected, and for the same header and body of a site whose respond has them:
// both from one process of the product's edge, over plain HTTP, on connections that stay.
func measurePage(s *stage, rounds int) []row {
	e := startEdge(s)
	page := e.fetch(s, siteHost, "/")
	e.child.Stop()
	e.run(s, page.respond(s, e.port))
	twin := e.fetch(s, twinHost, "/")
	if err := page.sameAs(twin); err != nil {
		s.Fatal(err)
	}
	e.await(s)
	ours, anchor := e.visitors(s, siteHost, "/", page), e.visitors(s, twinHost, "/", twin)
	got := map[cell]pageSeries{}
	for range rounds {
		for _, callers := range pageCrowd {
			for peer, ask := range map[string]func(context.Context) error{"ours": ours, "respond": anchor} {
				c := cell{peer, callers}
				got[c] = got[c].with(drive(s, callers, ask))
			}
		}
	}
	return pageRows(got)
}

// A pageSeries is what rounds of one crowd found.
type pageSeries struct{ rate, half, most series }

func (p pageSeries) with(rate float64, waits series) pageSeries {
	return pageSeries{append(p.rate, rate), append(p.half, waits.percentile(50)), append(p.most, waits.percentile(99))}
}

func pageRows(got map[cell]pageSeries) (rows []row) {
	for _, callers := range pageCrowd {
		ours, anchor := got[cell{"ours", callers}], got[cell{"respond", callers}]
		name := fmt.Sprintf("page: first page, c=%d", callers)
		rows = append(rows,
			row{name: name, unit: "/s", anchor: "Caddy's respond", base: anchor.rate, ours: ours.rate, goal: atLeast(pageGoal)},
			row{name: name + ", p50", unit: "µs", anchor: "Caddy's respond", base: anchor.half, ours: ours.half},
			row{name: name + ", p99", unit: "µs", anchor: "Caddy's respond", base: anchor.most, ours: ours.most})
	}
	return rows
}

// A fetched page: what a server sent, and how many bytes that was on the connection.
type fetched struct {
	header http.Header
	body   []byte
	size   int
}

// fetch asks once and reads the whole answer.
func (e *edge) fetch(s *stage, host, path string) fetched {
	conn := e.dial(s)
	defer func() { _ = conn.Close() }()
	_, err := io.WriteString(conn, e.request(host, path, "close"))
	s.need(err)
	raw, err := io.ReadAll(conn)
	s.need(err)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	s.need(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	s.need(err)
	if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(body)) {
		s.Fatalf("%s: %s, %d bytes: %s", host, resp.Status, resp.ContentLength, body)
	}
	resp.Header.Del("Connection")
	return fetched{resp.Header, body, len(raw) - len("Connection: close\r\n")}
}

// respond writes the page as a site of a Caddyfile: the same header and body.
func (f fetched) respond(s *stage, port string) string {
	var site strings.Builder
	fmt.Fprintf(&site, "http://%s:%s {\n", twinHost, port)
	for _, name := range slices.Sorted(maps.Keys(f.header)) {
		if name == "Date" || name == "Server" { // Caddy's own, as on every page
			continue
		}
		fmt.Fprintf(&site, "\theader %s `%s`\n", name, f.header.Get(name))
	}
	if bytes.ContainsAny(f.body, "`{") {
		s.Fatal("the page holds what a Caddyfile would read otherwise")
	}
	fmt.Fprintf(&site, "\trespond `%s`\n}\n", f.body)
	return site.String()
}

// sameAs returns an error unless both are alike but for the visitor's token and the time.
func (f fetched) sameAs(g fetched) error {
	for _, h := range []http.Header{f.header, g.header} {
		h.Del("Date")
		h.Del("Set-Cookie")
	}
	if f.size != g.size || len(f.body) != len(g.body) || !maps.EqualFunc(f.header, g.header, slices.Equal) {
		return fmt.Errorf("the page and its twin differ: %d and %d bytes, %v and %v", f.size, g.size, f.header, g.header)
	}
	return nil
}

// visitors returns how to ask again for what was fetched. Each of those who ask at once has
// a connection of its own.
func (e *edge) visitors(s *stage, host, path string, f fetched) func(context.Context) error {
	most := slices.Max(pageCrowd)
	free := make(chan *visitor, most)
	for range most {
		conn := e.dial(s)
		s.Cleanup(func() { _ = conn.Close() })
		free <- &visitor{conn, []byte(e.request(host, path, "keep-alive")), make([]byte, f.size), f.body[max(0, len(f.body)-answerEnd):]}
	}
	return func(context.Context) error {
		v := <-free
		defer func() { free <- v }()
		return v.ask()
	}
}

// A visitor asks on one connection and reads as many bytes as an answer has, without
// looking at them: the machine's processors are for the server.
type visitor struct {
	conn             net.Conn
	question, answer []byte
	end              []byte // of the answer
}

var answerStart = []byte("HTTP/1.1 200 OK\r\n")

// answerEnd is how many bytes of an answer's end are looked at.
const answerEnd = 8

var errAnswer = errors.New("bench: the answer is another than before")

func (v *visitor) ask() error {
	if _, err := v.conn.Write(v.question); err != nil {
		return err
	}
	if _, err := io.ReadFull(v.conn, v.answer); err != nil {
		return err
	}
	if !bytes.HasPrefix(v.answer, answerStart) || !bytes.HasSuffix(v.answer, v.end) {
		return errAnswer
	}
	return nil
}
