package brand

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Bounds of drawings: what a browser must do to show one.
const (
	maxElements = 5000
	maxDepth    = 32
	maxValue    = 256 << 10 // bytes of an attribute: a path
)

const svgSpace = "http://www.w3.org/2000/svg"

// words makes a set of the words of a text.
func words(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(text) {
		set[w] = true
	}
	return set
}

// What a drawing may be made of: shapes, their groups and their colours. None of it runs,
// loads or animates anything.
var (
	drawn = words("svg g defs title desc path rect circle ellipse line polyline polygon linearGradient radialGradient stop clipPath")
	// unseen are left out with all that is in them: editors write them.
	unseen    = words("metadata")
	attribute = words(`id width height viewBox preserveAspectRatio version x y x1 y1 x2 y2 cx cy r rx ry fx fy fr d points transform pathLength
		fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin stroke-miterlimit stroke-dasharray stroke-dashoffset
		opacity color display visibility clip-path clip-rule clipPathUnits gradientUnits gradientTransform spreadMethod offset stop-color stop-opacity`)
)

// value is what an attribute may say: numbers, colours, names, a path, or a colour and a
// clip of the same drawing. It cannot name an address.
var value = regexp.MustCompile(`^(?:[A-Za-z0-9_.,%+\-# \t\r\n]|url\(#[A-Za-z0-9_.\-]{1,64}\)|(?:rgba?|hsla?|matrix|translate|scale|rotate|skewX|skewY)\([0-9eE.,%+\- \t\r\n]*\))*$`)

// cleanSVG writes a drawing anew from a list of what is allowed. What would change the
// picture by being left out is refused by its name; what editors add unseen is left out.
func cleanSVG(raw []byte) ([]byte, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	d.Entity = map[string]string{} // none but those of XML itself
	w := &drawing{}
	for {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, ErrLogo
		}
		if err := w.token(t); err != nil {
			return nil, err
		}
	}
	if w.count == 0 || w.depth != 0 {
		return nil, ErrLogo
	}
	return w.out.Bytes(), nil
}

// drawing is one that is being written.
type drawing struct {
	out    bytes.Buffer
	depth  int
	count  int
	hidden int // how deep inside something that is left out
}

func (w *drawing) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		return w.start(t)
	case xml.EndElement:
		w.end(t)
	case xml.Directive:
		if !bytes.HasPrefix(t, []byte("DOCTYPE svg")) || bytes.Contains(t, []byte("[")) {
			return fmt.Errorf("%w: a declaration of its own is not taken", ErrLogo)
		}
	}
	return nil // texts are names of things, which nobody sees; comments and instructions go
}

func (w *drawing) start(t xml.StartElement) error {
	w.count++
	if w.count > maxElements || w.depth+w.hidden >= maxDepth {
		return fmt.Errorf("%w: it has too many parts", ErrLogo)
	}
	if w.hidden > 0 || t.Name.Space != svgSpace && w.depth > 0 || unseen[t.Name.Local] {
		w.hidden++
		return nil
	}
	if !drawn[t.Name.Local] || t.Name.Space != svgSpace || (t.Name.Local == "svg") != (w.count == 1) {
		return fmt.Errorf("%w: <%.40s> is not taken", ErrLogo, t.Name.Local)
	}
	w.depth++
	w.out.WriteString("<" + t.Name.Local)
	if w.depth == 1 {
		w.out.WriteString(` xmlns="` + svgSpace + `"`)
	}
	for _, a := range t.Attr {
		if err := w.attribute(a); err != nil {
			return err
		}
	}
	w.out.WriteString(">")
	return nil
}

// attribute writes one; those of editors have a namespace, and go.
func (w *drawing) attribute(a xml.Attr) error {
	if a.Name.Space != "" || a.Name.Local == "xmlns" {
		return nil
	}
	if a.Name.Local == "style" {
		return w.style(a.Value)
	}
	if !attribute[a.Name.Local] || len(a.Value) > maxValue || !value.MatchString(a.Value) {
		if strings.HasPrefix(a.Name.Local, "data-") || strings.HasPrefix(a.Name.Local, "aria-") || a.Name.Local == "role" || a.Name.Local == "class" {
			return nil
		}
		return fmt.Errorf("%w: the attribute %.40q is not taken, or what it says", ErrLogo, a.Name.Local)
	}
	w.out.WriteString(" " + a.Name.Local + `="` + a.Value + `"`) // value has no character that XML knows
	return nil
}

// style writes the declarations of a style as the attributes that they are.
func (w *drawing) style(text string) error {
	for _, one := range strings.Split(text, ";") {
		name, says, _ := strings.Cut(one, ":")
		name, says = strings.TrimSpace(name), strings.TrimSpace(says)
		if name == "" || !attribute[name] && !strings.Contains(says, "(") { // of editors: -inkscape-…
			continue
		}
		if err := w.attribute(xml.Attr{Name: xml.Name{Local: name}, Value: says}); err != nil {
			return err
		}
	}
	return nil
}

func (w *drawing) end(t xml.EndElement) {
	if w.hidden > 0 {
		w.hidden--
		return
	}
	w.depth--
	w.out.WriteString("</" + t.Name.Local + ">")
}
