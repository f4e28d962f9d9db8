//! From a text to a condition: tokens, then descent by the grammar in the parent's header.

use super::{COMPARISONS_MAX, CONDITION_BYTES_MAX, Comparison, LEVELS_MAX, Literal, Node, PredicateError};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A name in backticks, which is never a keyword.
    Name(String),
    Literal(Literal),
    Compare(Comparison),
    Open,
    Close,
    ListOpen,
    ListClose,
    Comma,
}

/// A token and the character at which it starts, counted from 1.
type Placed = (usize, Token);

pub(super) fn parse(text: &str) -> Result<Node, PredicateError> {
    if text.len() > CONDITION_BYTES_MAX {
        let detail = format!(
            "a condition has at most {CONDITION_BYTES_MAX} bytes, this one {}",
            text.len()
        );
        return Err(PredicateError { at: 1, detail });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        end: text.chars().count() + 1,
        comparisons: 0,
    };
    let root = parser.any(0)?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.expected("'and', 'or' or the end")),
    }
}

fn tokens(text: &str) -> Result<Vec<Placed>, PredicateError> {
    let characters: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let rest = characters.get(at..).unwrap_or_default();
        let (token, length) = token(rest).map_err(|detail| PredicateError { at: at + 1, detail })?;
        out.push((at + 1, token));
        at += length;
    }
    Ok(out)
}

/// The first token of a text that starts with no space, and how many characters it takes.
fn token(rest: &[char]) -> Result<(Token, usize), String> {
    let first = rest.first().copied().unwrap_or_default();
    let second = rest.get(1).copied().unwrap_or_default();
    let compare = |comparison, length| Ok((Token::Compare(comparison), length));
    match (first, second) {
        ('(', _) => Ok((Token::Open, 1)),
        (')', _) => Ok((Token::Close, 1)),
        ('[', _) => Ok((Token::ListOpen, 1)),
        (']', _) => Ok((Token::ListClose, 1)),
        (',', _) => Ok((Token::Comma, 1)),
        ('=', '=') => compare(Comparison::Equal, 2),
        ('=', _) => compare(Comparison::Equal, 1),
        ('!', '=') => compare(Comparison::NotEqual, 2),
        ('<', '=') => compare(Comparison::AtMost, 2),
        ('<', _) => compare(Comparison::Less, 1),
        ('>', '=') => compare(Comparison::AtLeast, 2),
        ('>', _) => compare(Comparison::Greater, 1),
        ('\'' | '"' | '`', _) => quoted(rest, first),
        _ if first.is_ascii_digit() || ['-', '+', '.'].contains(&first) => number(rest),
        _ if first.is_alphabetic() || first == '_' => {
            let is_part = |c: &&char| c.is_alphanumeric() || ['_', '-', '.'].contains(*c);
            let word: String = rest.iter().take_while(is_part).collect();
            let length = word.chars().count();
            Ok((Token::Word(word), length))
        }
        _ => Err(format!("'{first}' starts nothing that is known here")),
    }
}

fn quoted(rest: &[char], quote: char) -> Result<(Token, usize), String> {
    let inside: String = rest.iter().skip(1).take_while(|c| **c != quote).collect();
    let length = inside.chars().count() + 2;
    if rest.len() < length {
        return Err(format!("the closing {quote} is missing"));
    }
    let token = if quote == '`' {
        Token::Name(inside)
    } else {
        Token::Literal(Literal::Text(inside))
    };
    Ok((token, length))
}

fn number(rest: &[char]) -> Result<(Token, usize), String> {
    let is_part = |c: &&char| c.is_ascii_alphanumeric() || ['.', '-', '+'].contains(*c);
    let text: String = rest.iter().take_while(is_part).collect();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Literal(Literal::Number(number)), text.len())),
        _ => Err(format!("'{text}' is no finite number")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    /// One past the last character.
    end: usize,
    comparisons: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn takes_word(&mut self, keyword: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is);
        is
    }

    fn expected(&self, what: &str) -> PredicateError {
        let placed = self.tokens.get(self.at);
        let found = match placed.map(|(_, token)| token) {
            None => "the end".to_owned(),
            Some(Token::Word(word)) => format!("'{word}'"),
            Some(Token::Name(name)) => format!("the name '{name}'"),
            Some(Token::Literal(Literal::Text(text))) => format!("the text '{text}'"),
            Some(Token::Literal(Literal::Number(number))) => format!("the number {number}"),
            Some(Token::Compare(comparison)) => format!("'{comparison}'"),
            Some(Token::Open) => "'('".to_owned(),
            Some(Token::Close) => "')'".to_owned(),
            Some(Token::ListOpen) => "'['".to_owned(),
            Some(Token::ListClose) => "']'".to_owned(),
            Some(Token::Comma) => "','".to_owned(),
        };
        PredicateError {
            at: placed.map_or(self.end, |(at, _)| *at),
            detail: format!("expected {what}, found {found}"),
        }
    }

    fn any(&mut self, level: usize) -> Result<Node, PredicateError> {
        let mut nodes = vec![self.all(level)?];
        while self.takes_word("or") {
            nodes.push(self.all(level)?);
        }
        Ok(single(nodes, Node::Any))
    }

    fn all(&mut self, level: usize) -> Result<Node, PredicateError> {
        let mut nodes = vec![self.one(level)?];
        while self.takes_word("and") {
            nodes.push(self.one(level)?);
        }
        Ok(single(nodes, Node::All))
    }

    fn one(&mut self, level: usize) -> Result<Node, PredicateError> {
        if level >= LEVELS_MAX {
            return Err(self.expected(&format!("at most {LEVELS_MAX} levels of brackets and 'not'")));
        }
        if self.takes_word("not") {
            return Ok(Node::Not(Box::new(self.one(level + 1)?)));
        }
        if self.peek() != Some(&Token::Open) {
            return self.comparison();
        }
        self.at += 1;
        let inside = self.any(level + 1)?;
        if self.peek() != Some(&Token::Close) {
            return Err(self.expected("'and', 'or' or ')'"));
        }
        self.at += 1;
        Ok(inside)
    }

    fn comparison(&mut self) -> Result<Node, PredicateError> {
        let name = match self.peek() {
            Some(Token::Name(name)) => name.clone(),
            Some(Token::Word(word)) if !is_keyword(word) => word.clone(),
            _ => return Err(self.expected("a column's name, 'not' or '('")),
        };
        self.at += 1;
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(self.expected(&format!("at most {COMPARISONS_MAX} comparisons")));
        }
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("missing") {
                return Err(self.expected("'missing'"));
            }
            let missing = Node::Missing(name);
            return Ok(if negated {
                Node::Not(Box::new(missing))
            } else {
                missing
            });
        }
        let negated = self.takes_word("not");
        if self.takes_word("in") {
            let list = self.list()?;
            return Ok(if negated {
                Node::NotIn(name, list)
            } else {
                Node::In(name, list)
            });
        }
        let Some(Token::Compare(comparison)) = self.peek().filter(|_| !negated).cloned() else {
            return Err(self.expected(if negated {
                "'in'"
            } else {
                "a comparison, 'in' or 'is'"
            }));
        };
        self.at += 1;
        Ok(Node::Compare(name, comparison, self.literal()?))
    }

    fn list(&mut self) -> Result<Vec<Literal>, PredicateError> {
        if self.peek() != Some(&Token::ListOpen) {
            return Err(self.expected("'['"));
        }
        self.at += 1;
        let mut list = vec![self.literal()?];
        loop {
            match self.take() {
                Some(Token::Comma) => list.push(self.literal()?),
                Some(Token::ListClose) => return Ok(list),
                _ => {
                    self.at -= 1;
                    return Err(self.expected("',' or ']'"));
                }
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, PredicateError> {
        let Some(Token::Literal(literal)) = self.peek().cloned() else {
            return Err(self.expected("a number or a text in quotes"));
        };
        self.at += 1;
        Ok(literal)
    }
}

fn is_keyword(word: &str) -> bool {
    ["and", "or", "not", "in", "is", "missing"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

fn single(mut nodes: Vec<Node>, many: impl Fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(node)) => node,
        (_, Some(last)) => {
            nodes.push(last);
            many(nodes)
        }
        (_, None) => many(nodes),
    }
}
