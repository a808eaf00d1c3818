package org.edgesdk;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.CodingErrorAction;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON, read strictly: {@code parse} a text, then ask for each value by what it must be.
 *
 * <p>An object is a Map in its order, a list a List, a number a {@link Token} that keeps how it
 * was written, so that a seal over the text can be computed again. `where` names the text in
 * errors; a value of another kind is a FormatException.
 */
public final class Json {
    static final int MAX_DEPTH = 256;

    private static final Charset UTF_8 = Charset.forName("UTF-8");

    private final String text;
    private final String where;
    private int at;

    private Json(String text, String where) {
        this.text = text;
        this.where = where;
    }

    /** A number as it was written; equal to what was written alike. */
    public static final class Token extends Number {
        private static final long serialVersionUID = 1L;

        private final String token;

        Token(String token) {
            this.token = token;
        }

        boolean isInteger() {
            return token.indexOf('.') < 0 && token.indexOf('e') < 0 && token.indexOf('E') < 0
                    && !token.endsWith("NaN") && !token.endsWith("Infinity");
        }

        @Override
        public double doubleValue() {
            return Double.parseDouble(token);
        }

        @Override
        public float floatValue() {
            return Float.parseFloat(token);
        }

        /** Without what is behind the point; {@link Json#integer} demands that there is none. */
        @Override
        public long longValue() {
            return (long) doubleValue();
        }

        @Override
        public int intValue() {
            return (int) doubleValue();
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Token && ((Token) other).token.equals(token);
        }

        @Override
        public int hashCode() {
            return token.hashCode();
        }

        @Override
        public String toString() {
            return token;
        }
    }

    // ---- reading --------------------------------------------------------------------------

    /**
     * Returns what a whole text holds.
     *
     * @throws FormatException It is no JSON, nested too deeply, or has a name twice.
     */
    public static Object parse(String text, String where) {
        Json json = new Json(text, where);
        Object value = json.value(0);
        json.space();
        if (json.at != text.length()) {
            throw json.wrong("the end");
        }
        return value;
    }

    /** As parse(text, where), of UTF-8 from position to limit, which stay. */
    static Object parse(ByteBuffer bytes, String where) {
        try {
            CharBuffer text = UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT).decode(bytes.duplicate());
            return parse(text.toString(), where);
        } catch (CharacterCodingException error) {
            throw new FormatException("JSON, in UTF-8", "other bytes", where, "write it again");
        }
    }

    private FormatException wrong(String expected) {
        return new FormatException("JSON", expected + " missing at character " + at, where,
                "write it again");
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean next(char c) {
        space();
        if (at < text.length() && text.charAt(at) == c) {
            at++;
            return true;
        }
        return false;
    }

    private void demand(char c) {
        if (!next(c)) {
            throw wrong("'" + c + "'");
        }
    }

    private boolean word(String word) {
        if (text.startsWith(word, at)) {
            at += word.length();
            return true;
        }
        return false;
    }

    private Object value(int depth) {
        if (depth > MAX_DEPTH) {
            throw wrong("an end of nesting");
        }
        space();
        if (next('{')) {
            return members(depth);
        }
        if (next('[')) {
            return elements(depth);
        }
        if (next('"')) {
            return characters();
        }
        if (word("true")) {
            return Boolean.TRUE;
        }
        if (word("false")) {
            return Boolean.FALSE;
        }
        return word("null") ? null : number();
    }

    private Map<String, Object> members(int depth) {
        Map<String, Object> members = new LinkedHashMap<String, Object>();
        if (next('}')) {
            return members;
        }
        do {
            demand('"');
            String name = characters();
            demand(':');
            if (members.containsKey(name)) {
                throw wrong("another name than " + name);
            }
            members.put(name, value(depth + 1));
        } while (next(','));
        demand('}');
        return members;
    }

    private List<Object> elements(int depth) {
        List<Object> elements = new ArrayList<Object>();
        if (next(']')) {
            return elements;
        }
        do {
            elements.add(value(depth + 1));
        } while (next(','));
        demand(']');
        return elements;
    }

    /** A string, after its first quote. */
    private String characters() {
        StringBuilder out = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return out.toString();
            }
            if (c < 0x20) {
                break;
            }
            out.append(c == '\\' ? escaped() : c);
        }
        throw wrong("the end of a string");
    }

    private char escaped() {
        char c = at < text.length() ? text.charAt(at++) : ' ';
        int place = "\"\\/bfnrt".indexOf(c);
        if (place >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(place);
        }
        int code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = c == 'u' && at < text.length() && text.charAt(at) < 0x80
                    ? Character.digit(text.charAt(at), 16) : -1;
            if (digit < 0) {
                throw wrong("an escape");
            }
            code = code * 16 + digit;
            at++;
        }
        return (char) code;
    }

    private int digits() {
        int begin = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        return at - begin;
    }

    /** A number; as in Python NaN, Infinity and -Infinity are numbers too. */
    private Token number() {
        int begin = at;
        if (word("NaN")) {
            return new Token("NaN");
        }
        word("-");
        if (word("Infinity")) {
            return new Token(text.substring(begin, at));
        }
        boolean zero = at < text.length() && text.charAt(at) == '0';
        int whole = digits();
        boolean good = whole > 0 && (!zero || whole == 1);
        if (good && word(".")) {
            good = digits() > 0;
        }
        if (good && (word("e") || word("E"))) {
            if (!word("+")) {
                word("-");
            }
            good = digits() > 0;
        }
        if (!good) {
            throw wrong("a value");
        }
        return new Token(text.substring(begin, at));
    }

    // ---- what a value must be -------------------------------------------------------------

    private static FormatException not(String expected, Object got, String where) {
        String text = got == null ? "null" : canonical(got);
        return new FormatException(expected, text.length() > 60 ? text.substring(0, 60) + "..."
                : text, where, "write it again");
    }

    /** Returns a value that must be an object. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object value, String where) {
        if (!(value instanceof Map)) {
            throw not("an object", value, where);
        }
        return (Map<String, Object>) value;
    }

    /** Returns a value that must be a list. */
    @SuppressWarnings("unchecked")
    public static List<Object> list(Object value, String where) {
        if (!(value instanceof List)) {
            throw not("a list", value, where);
        }
        return (List<Object>) value;
    }

    /** Returns a value that must be a string. */
    public static String string(Object value, String where) {
        if (!(value instanceof String)) {
            throw not("a string", value, where);
        }
        return (String) value;
    }

    /** Returns a value that must be true or false. */
    public static boolean truth(Object value, String where) {
        if (!(value instanceof Boolean)) {
            throw not("true or false", value, where);
        }
        return (Boolean) value;
    }

    /** Returns a value that must be a number. */
    public static double number(Object value, String where) {
        if (!(value instanceof Token)) {
            throw not("a number", value, where);
        }
        return ((Token) value).doubleValue();
    }

    /** Returns a number, or NaN for null. */
    public static double known(Object value, String where) {
        return value == null ? Double.NaN : number(value, where);
    }

    /** Returns a number that must be written as an integer of 64 bits. */
    public static long integer(Object value, String where) {
        if (value instanceof Token && ((Token) value).isInteger()) {
            try {
                return Long.parseLong(((Token) value).token);
            } catch (NumberFormatException error) {
                throw not("an integer of 64 bits", value, where);
            }
        }
        throw not("an integer", value, where);
    }

    /** Returns a number that must be written as an integer of 32 bits. */
    public static int small(Object value, String where) {
        long integer = integer(value, where);
        if (integer != (int) integer) {
            throw not("an integer of 32 bits", value, where);
        }
        return (int) integer;
    }

    /** Returns a member that must be there. */
    public static Object member(Map<String, Object> object, String name, String where) {
        if (!object.containsKey(name)) {
            throw new FormatException("a member " + name, object.keySet().toString(), where,
                    "write it again");
        }
        return object.get(name);
    }

    // ---- writing --------------------------------------------------------------------------

    /**
     * Returns JSON with an indent of one space a level, as Python's {@code indent=1}.
     *
     * @param value What `parse` returns, or maps, lists, strings, numbers and booleans of any kind.
     *     A number that is NaN or infinite is unknown, and null.
     */
    public static String indented(Object value) {
        return new JsonWriter(false, true).text(value) + "\n";
    }

    /** Returns json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False). */
    static String canonical(Object value) {
        return new JsonWriter(true, false).text(value);
    }

    /** Returns a line of JSON, members in their order; numbers may be Double, NaN being null. */
    static String line(Object value) {
        return new JsonWriter(false, false).text(value);
    }
}
