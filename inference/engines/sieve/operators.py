"""The operators that a model may use, by name: arithmetic, shapes, lists. What is not named here is refused, whatever its namespace.

The names are those of torch (`aten::NAME`), without overloads; an in-place form (`NAME_`) is as harmless as `NAME`. Left out on purpose:
files (from_file, save), other processes (fork, wait, rpc, owner), storages under other shapes (set_, resize_, as_strided,
_reshape_alias) and what torch does not keep within its memory where sizes lie (segment_reduce, ctc_loss, batch norms that write running
values unchecked), the state of random numbers, other devices, sparse and quantised layouts. Chosen by hand from what torch registers.
"""


def named(text: str) -> frozenset[str]:
    """The words of a text: how the lists of the sieve are written."""
    return frozenset(text.split())


ARITHMETIC = named(
    """
Bool Complex ComplexImplicit Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ __contains__ __derive_index __getitem__
__iand__ __interpolate __ior__ __is__ __isnot__ __ixor__ __lshift__ __not__ __or__ __range_length __round_to_zero_floordiv __rshift__
__upsample __upsample_bilinear __upsample_nearest __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_scalar
_assert_tensor_metadata _batch_norm_impl_index _cast_Float _cast_Int _cast_Long _convolution _convolution_mode _euclidean_dist _fft_c2c
_fft_c2r _fft_r2c _grid_sampler_2d_cpu_fallback _infer_size _is_all_true _is_any_true _list_to_tensor _log_softmax
_native_batch_norm_legit_no_training _native_multi_head_attention
_nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _pack_padded_sequence _pad_circular _pad_enum _pad_packed_sequence
_pdist_forward _reshape_copy _safe_softmax _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu
_set_item _shape_as_tensor _softmax _stack _tensor_to_list _to_copy _transformer_encoder_layer_fwd _trilinear _unique _unique2
_unsafe_index _unsafe_index_put _unsafe_view _unwrap_optional _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa
_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d _weight_norm _weight_norm_interface abs absolute acos
acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add addbmm
addcdiv addcmul addmm addmv addr adjoint affine_grid_generator all allclose alpha_dropout amax amin aminmax angle any append arange
arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere as_tensor asin asinh atan atan2 atanh atleast_1d
atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d baddbmm bartlett_window batch_norm bernoulli bilinear binary_cross_entropy
binary_cross_entropy_with_logits bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
blackman_window block_diag bmm broadcast_shapes broadcast_tensors broadcast_to bucketize can_cast cartesian_prod cat cdist ceil celu
chalf channel_shuffle cholesky chunk clamp clamp_max clamp_min clear clip clone col2im column_stack combinations complex concat
concatenate conj conj_physical constant_pad_nd contiguous conv1d conv2d conv3d conv_depthwise3d conv_tbc conv_transpose1d
conv_transpose2d conv_transpose3d convolution copy copysign corrcoef cos cosh cosine_embedding_loss cosine_similarity count
count_nonzero cov cpu cross cross_entropy_loss cummax cummin cumprod cumsum cumulative_trapezoid deg2rad det detach detach_copy
device diag diag_embed diagflat diagonal diagonal_copy diagonal_scatter dict diff digamma dim dist div divide dot dropout dsplit dstack
einsum elu embedding embedding_bag empty empty_like empty_permuted endswith eq equal erf erfc erfinv exp exp2 expand expand_as
expand_copy expm1 extend eye feature_alpha_dropout feature_dropout fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift fft_hfft fft_hfft2
fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_ihfft fft_ihfft2 fft_ihfftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2
fft_rfftfreq fft_rfftn fill fill_diagonal_ find fix flatten flip fliplr flipud float_power floor floor_divide floordiv fmax fmin fmod
format frac frobenius_norm full full_like gather gcd ge gelu ger get glu greater greater_equal grid_sampler grid_sampler_2d
grid_sampler_3d group_norm gru gru_cell gt hamming_window hann_window hardshrink hardsigmoid hardswish hardtanh heaviside
hinge_embedding_loss histc histogram hsplit hstack huber_loss hypot i0 igamma igammac im2col imag index index_add index_copy index_fill
index_put index_select inner insert instance_norm inverse is_autocast_cpu_enabled is_autocast_enabled is_complex is_contiguous
is_floating_point is_grad_enabled is_non_overlapping_and_dense is_nonzero is_same_size is_signed isclose isfinite isin isinf isnan
isneginf isposinf isreal istft item items join kaiser_window keys kl_div kron kthvalue l1_loss layer_norm lcm ldexp_ le leaky_relu len
lerp less less_equal lgamma_ lift_fresh_copy linalg_cholesky linalg_cross linalg_det linalg_diagonal linalg_eigh linalg_inv
linalg_matmul linalg_matrix_norm linalg_norm linalg_qr linalg_solve linalg_svd linalg_vecdot linalg_vector_norm linear linspace list log
log10 log1p log2 log_sigmoid log_sigmoid_forward log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or
logical_xor logit logspace logsumexp lower lstm lstm_cell lstrip lt mH mT margin_ranking_loss masked_fill masked_scatter masked_select
matmul matrix_H matrix_exp matrix_power max max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
max_pool3d_with_indices max_unpool2d max_unpool3d maximum mean median meshgrid min minimum mish mm mode moveaxis movedim mse_loss msort
mul multi_margin_loss multilabel_margin_loss multilabel_margin_loss_forward multinomial multiply mv mvlgamma nan_to_num nanmean
nanmedian nanquantile nansum narrow narrow_copy native_channel_shuffle native_dropout native_group_norm
native_layer_norm native_norm ne neg negative new_empty new_full new_ones new_zeros nextafter nll_loss nll_loss2d nll_loss2d_forward
nll_loss_forward nll_loss_nd nonzero nonzero_numpy norm norm_except_dim normal not_equal nuclear_norm numel numpy_T one_hot ones
ones_like outer pad pad_sequence pairwise_distance pdist percentFormat permute permute_copy pinverse pixel_shuffle pixel_unshuffle
poisson_nll_loss polygamma pop positive pow prelu prod promote_types put quantile rad2deg rand rand_like randint randint_like randn
randn_like randperm range ravel real reciprocal reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 remainder remove renorm
repeat repeat_interleave replace replication_pad1d replication_pad2d replication_pad3d reshape reshape_as resolve_conj resolve_neg
result_type reverse rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell roll rot90 round rrelu rsqrt rstrip rsub scalar_tensor
scaled_dot_product_attention scatter scatter_add scatter_reduce searchsorted select select_copy select_scatter selu
set_grad_enabled sigmoid sign signbit silu sin sinc sinh size slice slice_copy slice_scatter slogdet smooth_l1_loss soft_margin_loss
softmax softplus softshrink sort sorted special_erf special_erfc special_erfinv special_exp2 special_expit special_expm1 special_log1p
special_log_softmax special_logit special_logsumexp special_round special_sinc special_softmax special_xlogy split split_copy
split_with_sizes split_with_sizes_copy sqrt square squeeze squeeze_copy stack startswith std std_mean stft str stride strip sub subtract
sum swapaxes swapdims sym_is_contiguous sym_numel sym_size sym_stride t t_copy take take_along_dim tan tanh tensor tensor_split
tensordot thnn_conv2d threshold tile to to_dense to_padded_tensor topk trace transpose transpose_copy trapezoid trapz tril tril_indices
triplet_margin_loss triu triu_indices true_divide trunc type_as unbind unbind_copy unflatten unfold unfold_copy uniform
unique_consecutive unique_dim_consecutive unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_copy update upper
upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
values vander var var_mean vdot view view_as view_as_complex view_as_real view_as_real_copy view_copy vsplit vstack warn where xlogy
zero zeros zeros_like
"""
)

STRUCTURE = named(
    """
CallFunction Constant ConstantChunk CreateObject DictConstruct EnumName EnumValue Enter Exit GetAttr If ListConstruct ListUnpack Loop
ModuleContainerIndex NumToTensor Print RaiseException SetAttr StringIndex TupleConstruct TupleIndex TupleSlice TupleUnpack Uninitialized abs
device dtype index is_cpu is_cuda is_meta is_mkldnn is_mps is_nested is_quantized is_sparse is_vulkan is_xla isinstance itemsize layout
max min name rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional
"""
)
"""Of `prim::`: what a program is built of. CallMethod is not there: once methods are written out, what remains calls an interface."""

EXPORTED = named(
    """
_operator.add _operator.and_ _operator.eq _operator.floordiv _operator.ge _operator.getitem _operator.gt _operator.le _operator.lt
_operator.mod _operator.mul _operator.ne _operator.neg _operator.or_ _operator.pos _operator.pow _operator.sub _operator.truediv
math.ceil math.floor math.sqrt math.trunc torch.sym_float torch.sym_int torch.sym_ite torch.sym_max torch.sym_min torch.sym_not
torch._sym_sqrt torch.ops.aten._native_batch_norm_legit.no_stats
torch.ops.higher_order.cond torch.ops.higher_order.while_loop torch.ops.higher_order.wrap_with_set_grad_enabled
"""
)
"""What a torch.export program may call beside `torch.ops.aten.NAME.OVERLOAD` of the names above."""


def is_arithmetic(name: str) -> bool:
    """Whether an operator of `aten` is on the list; its in-place form counts as the operator itself."""
    return name in ARITHMETIC or (name.endswith("_") and not name.endswith("__") and name[:-1] in ARITHMETIC)


def is_known(kind: str) -> bool:
    """Whether an operator with its namespace, "aten::add", is on the lists."""
    space, _, name = kind.partition("::")
    return is_arithmetic(name) if space == "aten" else space == "prim" and name in STRUCTURE
