package match

// letters maps letters to the spellings that documents and directories use for them. The
// first is the commonest. Latin: what NFKD does not take apart, and letters that are
// written out with two letters (ICAO 9303-3 section 6 A, and the usual habits beside it).
// Cyrillic: section 6 B with the variants of national passports. Letters that are missing
// here lose their marks.
var letters = map[rune][]string{
	'ä': {"a", "ae"}, 'ö': {"o", "oe"}, 'ü': {"u", "ue"}, 'å': {"a", "aa"}, 'ß': {"ss"},
	'æ': {"ae"}, 'œ': {"oe"}, 'ø': {"o", "oe"}, 'ð': {"d"}, 'þ': {"th"}, 'ł': {"l"},
	'đ': {"d", "dj"}, 'ı': {"i"}, 'ħ': {"h"}, 'ŧ': {"t"}, 'ŋ': {"n"}, 'ĸ': {"q"}, 'ə': {"a", "e"}, 'ɓ': {"b"}, 'ɗ': {"d"}, 'ƙ': {"k"},

	'а': {"a"}, 'б': {"b"}, 'в': {"v"}, 'г': {"g", "h"}, 'д': {"d"}, 'е': {"e", "ye"}, 'ё': {"e", "yo", "io"}, 'ж': {"zh"}, 'з': {"z"},
	'и': {"i", "y"}, 'й': {"i", "y"}, 'к': {"k"}, 'л': {"l"}, 'м': {"m"}, 'н': {"n"}, 'о': {"o"}, 'п': {"p"}, 'р': {"r"}, 'с': {"s"},
	'т': {"t"}, 'у': {"u"}, 'ф': {"f"}, 'х': {"kh", "h"}, 'ц': {"ts", "c"}, 'ч': {"ch"}, 'ш': {"sh"}, 'щ': {"shch", "sht"},
	'ъ': {"ie", "a", ""}, 'ы': {"y"}, 'ь': {""}, 'э': {"e"}, 'ю': {"iu", "yu"}, 'я': {"ia", "ya"},
	'і': {"i"}, 'ї': {"i", "yi"}, 'є': {"ie", "ye"}, 'ґ': {"g"}, 'ў': {"u"},
	'ђ': {"dj", "d"}, 'ј': {"j"}, 'љ': {"lj"}, 'њ': {"nj"}, 'ћ': {"c"}, 'џ': {"dz"}, 'ѓ': {"g"}, 'ѕ': {"dz"}, 'ќ': {"k"},

	'ς': {"σ"},
}

// aliases are words that are written in two ways.
var aliases = map[string]string{"saint": "st", "sainte": "ste"}

// particles stand before surnames or between given names; they may be dropped or glued.
// Those with one value stand for each other.
var particles = map[string]string{
	"de": "de", "da": "da", "do": "do", "dos": "dos", "das": "das", "del": "del", "della": "della", "di": "di", "du": "du", "la": "la", "le": "le",
	"los": "los", "las": "las", "lo": "lo", "van": "van", "von": "von", "der": "der", "den": "den", "ter": "ter", "ten": "ten", "zu": "zu",
	"al": "al", "el": "al", "bin": "ibn", "ibn": "ibn", "ben": "ibn", "bint": "bint", "abu": "abu", "af": "af", "av": "af", "y": "y", "e": "y",
}

// titles say nothing about who somebody is.
var titles = words("phd md esq dr mr mrs ms prof")

// generations tell father from son where both say which they are.
var generations = map[string]string{"jr": "jr", "junior": "jr", "sr": "sr", "senior": "sr", "ii": "ii", "iii": "iii", "iv": "iv"}

// absent stands in documents for a name that a person does not have.
var absent = words("fnu lnu nmn nfn nln")
