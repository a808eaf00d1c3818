package org.edgesdk.demo.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads JSON into maps in order, lists, strings, Doubles, Booleans and null; strict. */
public final class JsonParser {
    /** Levels of nesting; deeper text would fill the stack. */
    static final int MOST_LEVELS = 64;

    /** The text is no JSON. */
    public static final class JsonException extends Exception {
        private static final long serialVersionUID = 1L;

        JsonException(String expected, int at) {
            super("expected " + expected + " at character " + at);
        }
    }

    private final String text;
    private int at;

    private JsonParser(String text) {
        this.text = text;
    }

    /** Return what a whole text holds. */
    public static Object parse(String text) throws JsonException {
        JsonParser parser = new JsonParser(text);
        Object value = parser.value(0);
        if (parser.next() != '\0') {
            throw parser.wrong("the end");
        }
        return value;
    }

    private JsonException wrong(String expected) {
        return new JsonException(expected, at);
    }

    /** Return the next character that is no space, without taking it; 0 at the end. */
    private char next() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private void take(char wanted) throws JsonException {
        if (next() != wanted) {
            throw wrong("'" + wanted + "'");
        }
        at++;
    }

    private Object value(int depth) throws JsonException {
        if (depth > MOST_LEVELS) {
            throw wrong("at most " + MOST_LEVELS + " levels");
        }
        switch (next()) {
            case '{':
                return map(depth);
            case '[':
                return list(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> map(int depth) throws JsonException {
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        take('{');
        if (next() == '}') {
            at++;
            return map;
        }
        while (true) {
            if (next() != '"') {
                throw wrong("a key");
            }
            String key = string();
            take(':');
            if (map.containsKey(key)) {
                throw wrong("a key only once");
            }
            map.put(key, value(depth + 1));
            if (next() != ',') {
                take('}');
                return map;
            }
            at++;
        }
    }

    private List<Object> list(int depth) throws JsonException {
        List<Object> list = new ArrayList<Object>();
        take('[');
        if (next() == ']') {
            at++;
            return list;
        }
        while (true) {
            list.add(value(depth + 1));
            if (next() != ',') {
                take(']');
                return list;
            }
            at++;
        }
    }

    private String string() throws JsonException {
        take('"');
        StringBuilder found = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return found.toString();
            }
            if (c < ' ') {
                throw wrong("no control character in a string");
            }
            found.append(c == '\\' ? escaped() : c);
        }
        throw wrong("the end of a string");
    }

    private char escaped() throws JsonException {
        char c = at < text.length() ? text.charAt(at++) : '\0';
        int place = "\"\\/bfnrt".indexOf(c);
        if (c != '\0' && place >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(place);
        }
        if (c == 'u' && at + 4 <= text.length()) {
            int code = 0;
            for (int i = 0; i < 4; i++) {
                int digit = Character.digit(text.charAt(at++), 16);
                if (digit < 0) {
                    throw wrong("four hexadecimal digits");
                }
                code = code << 4 | digit;
            }
            return (char) code;
        }
        throw wrong("an escape");
    }

    private Object word(String word, Object value) throws JsonException {
        if (!text.startsWith(word, at)) {
            throw wrong("a value");
        }
        at += word.length();
        return value;
    }

    private Double number() throws JsonException {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String token = text.substring(start, at);
        if (!token.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            at = start;
            throw wrong("a value");
        }
        return Double.valueOf(token);
    }
}
