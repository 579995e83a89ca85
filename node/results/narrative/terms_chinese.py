"""Chinese (Simplified) terms of coded concepts, by scheme and value. A concept that is not here keeps its English meaning and its code."""

from collections.abc import Mapping

from inference.codes import Code

TERMS: Mapping[str, Mapping[str, str]] = {
    "SCT": {
        # sides
        "7771000": "左",
        "24028007": "右",
        "51440002": "双侧",
        "66459002": "单侧",
        # presence (CID 240)
        "52101004": "有",
        "272519000": "无",
        "373068000": "不能确定",
        # kinds of structures
        "91723000": "解剖结构",
        "49755003": "形态异常结构",
        "85756007": "组织",
        # anatomy
        "12738006": "脑",
        "1101003": "颅内",
        "69536005": "头部",
        "89546000": "颅骨",
        "81745001": "眼",
        "45048000": "颈部",
        "51185008": "胸部",
        "816094009": "胸部",
        "39607008": "肺",
        "74101002": "双肺",
        "80891009": "心脏",
        "15825003": "主动脉",
        "87878005": "左心室",
        "44567001": "气管",
        "32849002": "食管",
        "76752008": "乳腺",
        "113197003": "肋骨",
        "51282000": "椎骨",
        "421060004": "脊柱",
        "818981001": "腹部",
        "816092008": "盆腔",
        "10200004": "肝",
        "78961009": "脾",
        "64033007": "肾",
        "15776009": "胰腺",
        "69695003": "胃",
        "28231008": "胆囊",
        "41216001": "前列腺",
        "38848004": "十二指肠",
        "23451007": "肾上腺",
        "71854001": "结肠",
        "30315005": "小肠",
        "272673000": "骨",
        "71616004": "肌肉",
        "59441001": "淋巴结",
        "51114001": "动脉",
        "29092000": "静脉",
        "113305005": "小脑",
        "5366008": "海马",
        "42695009": "丘脑",
        "389080008": "白质",
        "389081007": "灰质",
        "72696002": "膝关节",
        "29836001": "髋部",
        "16982005": "肩部",
        "85562004": "手",
        "56459004": "足",
        # findings
        "52988006": "病变",
        "27925004": "结节",
        "4147007": "肿块",
        "367643001": "囊肿",
        "108369006": "肿瘤",
        "50960005": "出血",
        "35566002": "血肿",
        "79654002": "水肿",
        "36118008": "气胸",
        "60046008": "胸腔积液",
        "233604007": "肺炎",
        "287272002": "心脏增大",
        "36222008": "钙化",
        "415582006": "狭窄",
        "396339007": "血栓",
        # measurements
        "118565006": "体积",
        "42798000": "面积",
        "410668003": "长度",
        "103355008": "宽度",
        "131197000": "深度",
        "81827009": "直径",
        "103339001": "长径",
        "103340004": "短径",
        "131187009": "长轴",
        "131188004": "短轴",
        "131191004": "周长",
        "1483009": "角度",
        "450360000": "冠状动脉钙化积分",
        "70822001": "心脏射血分数",
        # statistics
        "373098007": "平均",
        "255605001": "最小",
        "56851009": "最大",
        "373099004": "中位",
        "386136009": "标准差",
        "255619001": "总",
    },
    "DCM": {
        "112031": "衰减系数",
        "111012": "发现的确信度",
        "121071": "发现",
        "122157": "概率",
        "130403": "梯度加权类激活",
        "130404": "显著性",
        "113085": "空间重采样",
        "113086": "边缘增强",
        "113087": "平滑",
        "123110": "人工智能",
        "123104": "形态学运算",
        "123106": "多尺度滤波",
        "111053": "建议随访",
    },
    "NCIt": {
        "C41144": "密度",
    },
    "RADLEX": {
        "RID50151": "实性结节",
        "RID50152": "部分实性结节",
        "RID50153": "磨玻璃结节",
    },
    "99HILUM": {
        "SOLID-DIAMETER": "实性成分最长径",
        # rows of the Fleischner Society's table of 2017
        "F17-S1-LT6": "单发实性结节，<6 mm（Fleischner 2017）",
        "F17-S1-6TO8": "单发实性结节，6-8 mm（Fleischner 2017）",
        "F17-S1-GT8": "单发实性结节，>8 mm（Fleischner 2017）",
        "F17-SN-LT6": "多发实性结节，<6 mm（Fleischner 2017）",
        "F17-SN-6TO8": "多发实性结节，6-8 mm（Fleischner 2017）",
        "F17-SN-GT8": "多发实性结节，>8 mm（Fleischner 2017）",
        "F17-G1-LT6": "单发磨玻璃结节，<6 mm（Fleischner 2017）",
        "F17-G1-GE6": "单发磨玻璃结节，≥6 mm（Fleischner 2017）",
        "F17-P1-LT6": "单发部分实性结节，<6 mm（Fleischner 2017）",
        "F17-P1-GE6-LT6": "单发部分实性结节，≥6 mm，实性成分<6 mm（Fleischner 2017）",
        "F17-P1-GE6-GE6": "单发部分实性结节，≥6 mm，实性成分≥6 mm（Fleischner 2017）",
        "F17-UN-LT6": "多发亚实性结节，<6 mm（Fleischner 2017）",
        "F17-UN-GE6": "多发亚实性结节，≥6 mm（Fleischner 2017）",
    },
}


def chinese(value: str, scheme: str) -> str | None:
    """The term; None where nobody has translated the concept."""
    return TERMS.get(scheme, {}).get(value)


LABELS: Mapping[str, str] = {
    "hippocampus anterior": "海马前部",
    "hippocampus posterior": "海马后部",
    "bright contrast": "高信号对比度",
    "denoised, research": "降噪，仅供研究",
    "prior on current": "既往图像对齐至本次图像",
    "Grad-CAM": "Grad-CAM",
    "Occlusion sensitivity": "遮挡敏感度",
}
"""Labels of structures, maps and series of the applications that come with hilum, where codes do not say it all."""

NOUNS: Mapping[str, str] = {
    "bright-lesion": "脑内高信号灶",
    "chest-xray": "胸片肺炎",
    "ct-lung": "肺体积",
    "hippocampus": "海马体积",
    "lung-nodule": "肺结节",
    "mr-brain": "颅内容积",
    "mr-denoise": "头部MR降噪",
    "mr-register": "MR前后对比",
}
"""What the applications that come with hilum are about, by their names."""


def structure(label: str, what: Code, laterality: Code | None) -> str:
    """A structure by its label, where that has a word; else by its codes; else with its own label."""
    term = chinese(what.value, what.scheme)
    if label in LABELS or term is None:
        return LABELS.get(label, label)
    return f"{chinese(laterality.value, laterality.scheme) or '' if laterality else ''}{term}"
