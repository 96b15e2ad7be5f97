// Einstein sums as torch.einsum: letters name dimensions, "..." the rest, which broadcast. Operands lose repeated letters by
// diagonals, are contracted two at a time by matrix products, and letters of one operand alone are summed before.
#include <algorithm>
#include <cctype>

#include "ops/expressions.h"
#include "ops/tensor_ops.h"

namespace dnncore::ops {

using namespace expressions;

namespace {

// A label is a letter, or a dimension of the ellipsis counted from its right: kDots + 0 is the last one.
constexpr int kDots = 256;
constexpr int kLabels = kDots + kMaxDims;
using Labels = std::vector<int>;

struct Term {
  Tensor x;
  Labels labels;
};

bool has(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

// The whole character at i, of as many bytes as it has in UTF-8.
std::string letter_at(const std::string& text, size_t i) {
  size_t end = i + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  return text.substr(i, end - i);
}

// "a...b" with as many ellipsis labels as `dots`.
Labels read_labels(const std::string& equation, const std::string& text, int dots, bool& has_dots) {
  Labels labels;
  has_dots = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (std::isspace(c)) continue;
    if (c == '.') {
      DNN_CHECK(text.compare(i, 3, "...") == 0 && !has_dots, ValueError, "einsum: expected one '...' per term, got '", text, "' in '",
                equation, "'");
      has_dots = true;
      i += 2;
      for (int d = dots - 1; d >= 0; --d) labels.push_back(kDots + d);
      continue;
    }
    DNN_CHECK(c < 128 && std::isalpha(c), ValueError, "einsum: expected letters, '...', ',' and '->', got '", letter_at(text, i), "' in '",
              equation, "'");
    labels.push_back(c);
  }
  return labels;
}

Term read_term(const std::string& equation, const std::string& text, const Tensor& x) {
  bool has_dots = false;
  const int letters = static_cast<int>(read_labels(equation, text, 0, has_dots).size());
  DNN_CHECK(has_dots ? letters <= x.ndim() : letters == x.ndim(), ValueError, "einsum: term '", text, "' of '", equation,
            "' does not name the dimensions of a tensor of shape ", x.shape());
  return {x, read_labels(equation, text, x.ndim() - letters, has_dots)};
}

std::vector<std::string> split_terms(const std::string& text) {
  std::vector<std::string> terms(1);
  for (char c : text) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  return terms;
}

// Without '->': the ellipsis, then letters that appear once, in alphabetical order (upper case first).
Labels implied_output(const std::vector<Term>& terms, int dots) {
  int count[kLabels] = {};
  for (const Term& term : terms)
    for (int label : term.labels) ++count[label];
  Labels output;
  for (int d = dots - 1; d >= 0; --d) output.push_back(kDots + d);
  for (int label = 0; label < kDots; ++label)
    if (count[label] == 1) output.push_back(label);
  return output;
}

// Repeated letters become their diagonal; sizes are noted and must agree, 1 with anything.
Term without_repeats(const std::string& equation, Term term, int64_t (&sizes)[kLabels]) {
  for (size_t i = 0; i < term.labels.size(); ++i)
    for (size_t j = i + 1; j < term.labels.size(); ++j) {
      if (term.labels[i] != term.labels[j]) continue;
      const int a = static_cast<int>(i), b = static_cast<int>(j);
      DNN_CHECK(term.x.size(a) == term.x.size(b), ValueError, "einsum: letter '", static_cast<char>(term.labels[i]), "' of '", equation,
                "' names dimensions of sizes ", term.x.size(a), " and ", term.x.size(b));
      term.x = movedim(diagonal(term.x, 0, a, b), {-1}, {a});
      term.labels.erase(term.labels.begin() + b);
      --j;
    }
  for (size_t i = 0; i < term.labels.size(); ++i) {
    const int64_t size = term.x.size(static_cast<int>(i));
    int64_t& known = sizes[term.labels[i]];
    DNN_CHECK(known == 1 || size == 1 || known == size, ValueError, "einsum: a label of '", equation, "' names dimensions of sizes ", known,
              " and ", size);
    if (size != 1) known = size;
  }
  return term;
}

// Sums the labels that nobody else wants.
Term summed(Term term, const Labels& wanted) {
  Shape dims;
  Labels kept;
  for (size_t i = 0; i < term.labels.size(); ++i) {
    if (has(wanted, term.labels[i]))
      kept.push_back(term.labels[i]);
    else
      dims.push_back(static_cast<int64_t>(i));
  }
  if (!dims.empty()) term.x = to_dtype(sum(term.x, dims), term.x.dtype());
  term.labels = kept;
  return term;
}

// The dimensions in the order of `groups`, a missing one of size 1, each group joined into one.
Tensor arranged(const Term& term, const std::vector<Labels>& groups, const int64_t (&sizes)[kLabels]) {
  Shape order, shape;
  Tensor x = term.x;
  for (const Labels& group : groups) {
    int64_t joint = 1;
    for (int label : group) {
      const auto found = std::find(term.labels.begin(), term.labels.end(), label);
      const int at = static_cast<int>(found - term.labels.begin());
      order.push_back(at);
      if (x.size(at) != sizes[label]) {  // a 1 that broadcasts
        Shape wide = x.shape();
        wide[at] = sizes[label];
        x = expand(x, wide);
      }
      joint *= sizes[label];
    }
    shape.push_back(joint);
  }
  return reshape(permute(x, order), shape);
}

// The product of two terms, summed over labels not in `wanted`: (batch, rows, inner) times (batch, inner, columns).
Term contracted(const Term& a, const Term& b, const Labels& wanted, const int64_t (&sizes)[kLabels]) {
  Labels batch, rows, columns, inner;
  const auto is_wide = [](const Term& term, int label) {
    const auto found = std::find(term.labels.begin(), term.labels.end(), label);
    return found != term.labels.end() && term.x.size(static_cast<int>(found - term.labels.begin())) != 1;
  };
  Term left = a, right = b;
  // A dimension of size 1 that is larger in the other term adds nothing: the product broadcasts.
  const auto drop = [&](Term& term, const Term& other) {
    for (size_t i = 0; i < term.labels.size();) {
      const int label = term.labels[i];
      if (term.x.size(static_cast<int>(i)) == 1 && is_wide(other, label)) {
        term.x = squeeze(term.x, static_cast<int64_t>(i));
        term.labels.erase(term.labels.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  };
  drop(left, b);
  drop(right, a);
  int64_t own[kLabels];
  std::copy(std::begin(sizes), std::end(sizes), own);
  for (const Term* term : {&left, &right})
    for (size_t i = 0; i < term->labels.size(); ++i) own[term->labels[i]] = term->x.size(static_cast<int>(i));
  left = summed(left, [&] {
    Labels all = wanted;
    all.insert(all.end(), right.labels.begin(), right.labels.end());
    return all;
  }());
  right = summed(right, [&] {
    Labels all = wanted;
    all.insert(all.end(), left.labels.begin(), left.labels.end());
    return all;
  }());
  for (int label : left.labels) (!has(right.labels, label) ? rows : has(wanted, label) ? batch : inner).push_back(label);
  for (int label : right.labels)
    if (!has(left.labels, label)) columns.push_back(label);

  Labels result = batch;
  result.insert(result.end(), rows.begin(), rows.end());
  result.insert(result.end(), columns.begin(), columns.end());
  Shape shape;
  for (int label : result) shape.push_back(own[label]);
  const Tensor x = arranged(left, {batch, rows, inner}, own), z = arranged(right, {batch, inner, columns}, own);
  if (inner.empty()) return {reshape(x * z, shape), result};  // (.., rows, 1) times (.., 1, columns)
  if (batch.empty()) return {reshape(matmul(select(x, 0, 0), select(z, 0, 0)), shape), result};
  return {reshape(matmul(x, z), shape), result};
}

double elements(const Labels& labels, const int64_t (&sizes)[kLabels]) {
  double count = 1;
  for (int label : labels) count *= static_cast<double>(sizes[label]);
  return count;
}

// Labels of the output and of all terms but two.
Labels wanted_beside(const std::vector<Term>& terms, const Labels& output, size_t a, size_t b) {
  Labels wanted = output;
  for (size_t i = 0; i < terms.size(); ++i)
    if (i != a && i != b) wanted.insert(wanted.end(), terms[i].labels.begin(), terms[i].labels.end());
  return wanted;
}

// The pair to contract next: least multiplications less what it frees, the usual greedy rule.
std::pair<size_t, size_t> next_pair(const std::vector<Term>& terms, const Labels& output, const int64_t (&sizes)[kLabels]) {
  std::pair<size_t, size_t> best{0, 1};
  double least = 0;
  for (size_t a = 0; a < terms.size(); ++a)
    for (size_t b = a + 1; b < terms.size(); ++b) {
      const Labels wanted = wanted_beside(terms, output, a, b);
      Labels joint = terms[a].labels, result;
      for (int label : terms[b].labels)
        if (!has(joint, label)) joint.push_back(label);
      for (int label : joint)
        if (has(wanted, label)) result.push_back(label);
      const double freed = elements(terms[a].labels, sizes) + elements(terms[b].labels, sizes) - elements(result, sizes);
      const double cost = elements(joint, sizes) - freed;
      if ((a == 0 && b == 1) || cost < least) {
        least = cost;
        best = {a, b};
      }
    }
  return best;
}

// The last term with its dimensions in the order of the output.
Tensor finished(const Term& last, const Labels& output, const int64_t (&sizes)[kLabels]) {
  const Term term = summed(last, output);
  Shape order, shape;
  Tensor x = term.x;
  Labels labels = term.labels;
  for (int label : output) {
    if (!has(labels, label)) {  // a 1 dropped on the way
      x = unsqueeze(x, -1);
      labels.push_back(label);
    }
    order.push_back(std::find(labels.begin(), labels.end(), label) - labels.begin());
    shape.push_back(sizes[label]);
  }
  return expand(permute(x, order), shape);
}

Labels read_output(const std::string& equation, const std::string& text, const std::vector<Term>& terms, int dots) {
  bool has_dots = false;
  const Labels output = read_labels(equation, text, dots, has_dots);
  for (size_t i = 0; i < output.size(); ++i) {
    const bool known =
        output[i] >= kDots || std::any_of(terms.begin(), terms.end(), [&](const Term& t) { return has(t.labels, output[i]); });
    DNN_CHECK(known, ValueError, "einsum: the output of '", equation, "' has the letter '", static_cast<char>(output[i]),
              "', which no term has");
    DNN_CHECK(std::count(output.begin(), output.end(), output[i]) == 1, ValueError, "einsum: the output of '", equation,
              "' has the letter '", static_cast<char>(output[i]), "' twice");
  }
  return output;
}

}  // namespace

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands) {
  const size_t arrow = equation.find("->");
  const std::vector<std::string> texts = split_terms(equation.substr(0, arrow));
  DNN_CHECK(!operands.empty() && texts.size() == operands.size(), ValueError, "einsum: '", equation, "' has ", texts.size(), " terms for ",
            operands.size(), " tensors");
  std::vector<Term> terms;
  int dots = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    terms.push_back(read_term(equation, texts[i], operands[i]));
    for (int label : terms.back().labels) dots = std::max(dots, label - kDots + 1);
  }
  const Labels output =
      arrow == std::string::npos ? implied_output(terms, dots) : read_output(equation, equation.substr(arrow + 2), terms, dots);
  int64_t sizes[kLabels];
  std::fill(std::begin(sizes), std::end(sizes), 1);
  for (Term& term : terms) term = without_repeats(equation, term, sizes);
  for (size_t i = 0; i < terms.size(); ++i) terms[i] = summed(terms[i], wanted_beside(terms, output, i, i));
  while (terms.size() > 1) {
    const auto [a, b] = next_pair(terms, output, sizes);
    const Term joint = contracted(terms[a], terms[b], wanted_beside(terms, output, a, b), sizes);
    terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(b));
    terms[a] = joint;
  }
  return finished(terms[0], output, sizes);
}

Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b) {
  DNN_CHECK(dims_a.ndim() == dims_b.ndim(), ValueError, "tensordot: expected as many dimensions of both tensors, got ", dims_a, " and ",
            dims_b);
  const auto split = [](const Tensor& x, const Shape& dims, bool inner_first, Shape& outer) {
    bool chosen[kMaxDims] = {};
    Shape order, inner_dims;
    int64_t inner = 1;
    for (int64_t dim : dims) {
      const int at = existing_dim("tensordot", dim, x.ndim());
      DNN_CHECK(!chosen[at], ValueError, "tensordot: dimension ", at, " appears twice in ", dims);
      chosen[at] = true;
      inner_dims.push_back(at);
      inner *= x.size(at);
    }
    int64_t rest = 1;
    if (inner_first) order = inner_dims;
    for (int i = 0; i < x.ndim(); ++i) {
      if (chosen[i]) continue;
      order.push_back(i);
      outer.push_back(x.size(i));
      rest *= x.size(i);
    }
    for (int i = 0; !inner_first && i < inner_dims.ndim(); ++i) order.push_back(inner_dims[i]);
    return reshape(permute(x, order), inner_first ? Shape{inner, rest} : Shape{rest, inner});
  };
  for (int i = 0; i < dims_a.ndim(); ++i)
    DNN_CHECK(a.size(existing_dim("tensordot", dims_a[i], a.ndim())) == b.size(existing_dim("tensordot", dims_b[i], b.ndim())), ValueError,
              "tensordot: dimensions ", dims_a, " and ", dims_b, " of shapes ", a.shape(), " and ", b.shape(), " differ in size");
  Shape shape;
  const Tensor x = split(a, dims_a, false, shape), z = split(b, dims_b, true, shape);
  return reshape(matmul(x, z), shape);
}

Tensor outer(const Tensor& a, const Tensor& b) {
  DNN_CHECK(a.ndim() == 1 && b.ndim() == 1, ValueError, "outer: expected two 1-d tensors, got shapes ", a.shape(), " and ", b.shape());
  return unsqueeze(a, 1) * unsqueeze(b, 0);
}

Tensor kron(const Tensor& a, const Tensor& b) {
  const int n = std::max(a.ndim(), b.ndim());
  Shape left, right, shape;
  for (int i = 0; i < n; ++i) {
    const int64_t x = i < n - a.ndim() ? 1 : a.size(i - (n - a.ndim())), z = i < n - b.ndim() ? 1 : b.size(i - (n - b.ndim()));
    left.push_back(x);
    left.push_back(1);
    right.push_back(1);
    right.push_back(z);
    shape.push_back(x * z);
  }
  return reshape(reshape(a, left) * reshape(b, right), shape);
}

// beta * x + alpha * product; beta 0 leaves x out, NaNs and all.
Tensor add_product(const char* op, const Tensor& x, const Tensor& product, const Scalar& beta, const Scalar& alpha) {
  DNN_CHECK(x.dtype() == product.dtype(), TypeError, op, ": expected an input of ", product.dtype(), " as the factors, got ", x.dtype());
  DNN_CHECK(broadcast_shapes(op, x.shape(), product.shape()) == product.shape(), ValueError, op, ": an input of shape ", x.shape(),
            " does not fit the product of shape ", product.shape());
  const auto scaled = [](const Tensor& y, const Scalar& s) { return s.as_double == 1 ? y : binary(BinaryOp::mul, y, s); };
  const Tensor y = scaled(product, alpha);
  return beta.as_double == 0 ? y : scaled(x, beta) + y;
}

}  // namespace dnncore::ops
