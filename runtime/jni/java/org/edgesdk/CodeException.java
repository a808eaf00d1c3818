package org.edgesdk;

/** Codes, scores or a decoder that a code index can not take or does not have. */
public final class CodeException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public CodeException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
